/* A host that has a Vulkan device of its own, as a game engine does, and uses the library through nothing but the
 * public header and the shared library. Failures of the host's own Vulkan calls end the test. */
#ifndef DVK_TEST_HOST_H_
#define DVK_TEST_HOST_H_

#include "dino_vk.h"
#include "test.h"

#include <pthread.h>
#include <vulkan/vulkan.h>

enum { MAX_FAMILIES = 16 };

typedef enum host_kind {
    HOST_GODOT,     /* what stock Godot 4 enables, and no more */
    HOST_BARE,      /* Vulkan 1.1, no feature at all */
    HOST_ADVISED,   /* what dvk_advise_device() says */
    HOST_UNWATCHED, /* as Godot's, without the validation layer */
} host_kind;

typedef struct test_host {
    VkInstance instance;
    uint32_t api_version;
    VkPhysicalDevice physical_device;
    VkDevice device;
    uint32_t queue_family;
    VkQueue queue; /* the only one of its family */
    uint32_t features;
    VkCommandPool command_pool;
    VkDebugUtilsMessengerEXT messenger;
    pthread_mutex_t mutex; /* of the queue */
    int held;              /* how often it is held; 0 or 1 */
    int submissions;       /* how often it was taken */
} test_host;

#define VK(call)                                                                                                       \
    do {                                                                                                               \
        VkResult result_ = (call);                                                                                     \
        if (result_ != VK_SUCCESS) {                                                                                   \
            printf("%s:%d: %s: VkResult %d\n", __FILE__, __LINE__, #call, (int)result_);                               \
            exit(1);                                                                                                   \
        }                                                                                                              \
    } while (0)

/* With the validation layer, core and synchronisation, wherever it is installed; its messages are printed and counted
 * in host_messages(). Skips the test where there is no Vulkan. */
void host_open(test_host *host, host_kind kind);
void host_close(test_host *host);
int host_messages(void);
/* Returns how many there are. */
uint32_t host_families(const test_host *host, VkQueueFamilyProperties families[MAX_FAMILIES]);
bool host_is_validated(const test_host *host);

/* With lock callbacks that check that nobody else is inside. */
dvk_import host_import(test_host *host);
dvk_context *host_context(test_host *host);

VkCommandBuffer host_begin(test_host *host, VkCommandBufferLevel level);
/* Ends, submits under the lock, waits for a fence, frees. */
void host_run(test_host *host, VkCommandBuffer commands);
VkSemaphore host_semaphore(test_host *host, bool timeline);
VkFence host_fence(test_host *host);
/* Without commands. */
void host_submit(test_host *host, VkSemaphore wait, VkSemaphore signal, VkFence fence);

#endif
