/* For ThreadSanitizer: all that may run at the same time, in threads. The loader is found by its name, so that
 * LD_LIBRARY_PATH can put the stub driver in the place of real ones, whose own threads are not instrumented. */
#include "dino_vk.h"
#include "synth.h"
#include "test.h"

#include <dlfcn.h>
#include <pthread.h>

#define VK_NO_PROTOTYPES
#include <vulkan/vulkan.h>

#define MODEL "races-vit-tiny"

enum { SHARED = 2, OWN = 2, ANY = 1, THREADS = SHARED + OWN + ANY, ROUNDS = 10, PIXELS = 3 * 32 * 32 };

/* The host's device, and its queue's lock. */
static struct {
    PFN_vkGetInstanceProcAddr get;
    VkInstance instance;
    VkPhysicalDevice physical_device;
    VkDevice device;
    pthread_mutex_t mutex;
} host = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static void lock(void *user) {
    (void)user;
    pthread_mutex_lock(&host.mutex);
}

static void unlock(void *user) {
    (void)user;
    pthread_mutex_unlock(&host.mutex);
}

#define GET(name) PFN_##name name = (PFN_##name)host.get(host.instance, #name)

static void open_host(void) {
    void *library = dlopen("libvulkan.so.1", RTLD_NOW | RTLD_LOCAL);
    if (!library)
        SKIP("no Vulkan loader");
    void *symbol = dlsym(library, "vkGetInstanceProcAddr");
    memcpy(&host.get, &symbol, sizeof(symbol));
    GET(vkCreateInstance);
    VkApplicationInfo application = {.sType = VK_STRUCTURE_TYPE_APPLICATION_INFO, .apiVersion = VK_API_VERSION_1_1};
    VkInstanceCreateInfo info = {.sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO, .pApplicationInfo = &application};
    if (vkCreateInstance(&info, NULL, &host.instance) != VK_SUCCESS)
        SKIP("no Vulkan driver");
    GET(vkEnumeratePhysicalDevices);
    GET(vkCreateDevice);
    uint32_t count = 1;
    VkResult result = vkEnumeratePhysicalDevices(host.instance, &count, &host.physical_device);
    REQUIRE((result == VK_SUCCESS || result == VK_INCOMPLETE) && count == 1);
    const float priority = 1;
    VkDeviceQueueCreateInfo queue = {
        .sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO, .queueCount = 1, .pQueuePriorities = &priority};
    VkDeviceCreateInfo device = {
        .sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO, .queueCreateInfoCount = 1, .pQueueCreateInfos = &queue};
    REQUIRE(vkCreateDevice(host.physical_device, &device, NULL, &host.device) == VK_SUCCESS);
}

static void close_host(void) {
    GET(vkDestroyDevice);
    GET(vkDestroyInstance);
    vkDestroyDevice(host.device, NULL);
    vkDestroyInstance(host.instance, NULL);
}

/* From a context to features, many times; returns the number of failures. */
static int use_context(dvk_context *context) {
    static const float pixels[PIXELS];
    float cls[64];
    int wrong = 0;
    dvk_model *model = NULL;
    dvk_session *session = NULL;
    wrong += dvk_model_load(context, &(dvk_model_params){.path = MODEL}, &model, NULL) != DVK_OK;
    if (model)
        wrong += dvk_session_create(model, &(dvk_session_params){.in_flight = 2}, &session, NULL) != DVK_OK;
    for (uint32_t i = 0; session && i < ROUNDS; i++) {
        const dvk_submit_params params = {.slot = i % 2};
        wrong += dvk_session_write(session, i % 2, pixels, 1, NULL) != DVK_OK;
        wrong += dvk_session_submit(session, &params, NULL) != DVK_OK;
        wrong += dvk_session_wait(session, i % 2, UINT64_MAX, NULL) != DVK_OK;
        wrong += dvk_session_read_slot(session, i % 2, DVK_OUTPUT_CLS, 0, cls, 64, NULL) != DVK_OK;
    }
    dvk_session_destroy(&session);
    dvk_model_destroy(&model);
    dvk_context_destroy(&context);
    return wrong;
}

static int use_shared_device(void) {
    const dvk_import import = {.get_instance_proc_addr = (dvk_function)host.get,
                               .instance = host.instance,
                               .api_version = VK_API_VERSION_1_1,
                               .physical_device = host.physical_device,
                               .device = host.device,
                               .lock_queue = lock,
                               .unlock_queue = unlock};
    dvk_context *context = NULL;
    return dvk_context_import(&import, NULL, &context, NULL) == DVK_OK ? use_context(context) : 1;
}

static int use_own_device(void) {
    dvk_context *context = NULL;
    return dvk_context_create(NULL, &context, NULL) == DVK_OK ? use_context(context) : 1;
}

/* What the header calls "any thread". */
static int use_anything(void) {
    int wrong = 0;
    for (int i = 0; i < ROUNDS; i++) {
        uint32_t count = 0;
        dvk_image image;
        dvk_error error;
        wrong += dvk_list_devices(NULL, NULL, &count, NULL) != DVK_OK;
        wrong += dvk_image_decode("P1 1 1 1", 8, "dot.pbm", NULL, &image, &error) != DVK_OK;
        dvk_image_free(&image);
        wrong += dvk_image_decode("P9", 2, "nothing", NULL, &image, &error) == DVK_OK;
        wrong += strcmp(dvk_result_name(DVK_TIMEOUT), "DVK_TIMEOUT") != 0;
        wrong += dvk_check_version(DVK_VERSION_MAJOR, 0, &error) != DVK_OK;
    }
    return wrong;
}

typedef struct worker {
    pthread_t thread;
    int (*run)(void);
    int wrong;
} worker;

static void *run_worker(void *argument) {
    worker *self = argument;
    self->wrong = self->run();
    return NULL;
}

int main(void) {
    REQUIRE(synth_write_model("vit-tiny", MODEL, NULL));
    open_host();
    worker workers[THREADS];
    for (int i = 0; i < THREADS; i++)
        workers[i] = (worker){.run = i < SHARED ? use_shared_device : i < SHARED + OWN ? use_own_device : use_anything};
    for (int i = 0; i < THREADS; i++)
        REQUIRE(pthread_create(&workers[i].thread, NULL, run_worker, &workers[i]) == 0);
    for (int i = 0; i < THREADS; i++) {
        REQUIRE(pthread_join(workers[i].thread, NULL) == 0);
        CHECK_MESSAGE(workers[i].wrong == 0, "thread %d: %d failures", i, workers[i].wrong);
    }
    close_host();
    return FINISH();
}
