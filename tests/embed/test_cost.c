/* What embedding costs the host: Vulkan calls, time of its CPU, allocations and bytes, for a recorded pass and a
 * submitted one. Without an argument a small model, and the counts are checked; with the name of a synthetic model
 * (dino-vits8) the figures alone. */
#include "host.h"
#include "interpose.h"
#include "outputs.h"
#include "synth.h"

#include <time.h>

int test_failures_, test_checks_;

/* Allocations of the library, and of the driver on its behalf. */
static uint32_t own_allocations, vulkan_allocations;

static void *allocate(void *user, size_t size, size_t alignment) {
    (void)user;
    own_allocations++;
    return aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
}

static void release(void *user, void *block) {
    (void)user;
    free(block);
}

static void *VKAPI_CALL vulkan_allocate(void *user, size_t size, size_t alignment, VkSystemAllocationScope scope) {
    (void)user, (void)scope;
    vulkan_allocations++;
    alignment = alignment < sizeof(void *) ? sizeof(void *) : alignment;
    size += !size; /* which Mesa 22.3 asks for, and takes NULL for a failure */
    return aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
}

static void VKAPI_CALL vulkan_free(void *user, void *block) {
    (void)user;
    free(block);
}

/* realloc() keeps no alignment beyond the usual one, and drivers do not ask for more here. */
static void *VKAPI_CALL vulkan_reallocate(void *user, void *block, size_t size, size_t alignment,
                                          VkSystemAllocationScope scope) {
    if (!block)
        return vulkan_allocate(user, size, alignment, scope);
    vulkan_allocations++;
    if (size)
        return alignment <= sizeof(max_align_t) ? realloc(block, size) : NULL;
    free(block);
    return NULL;
}

static double cpu_ms(void) {
    struct timespec now = {0};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec * 1e-6;
}

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static uint32_t commands(void) {
    return interposed.vkCmdBindPipeline + interposed.vkCmdBindDescriptorSets + interposed.vkCmdPushConstants +
           interposed.vkCmdDispatch + interposed.vkCmdPipelineBarrier + interposed.vkCmdCopyBuffer;
}

static uint32_t all_calls(void) {
    uint32_t sum = 0;
#define ADD(name, parameters, arguments) sum += interposed.name;
    INTERPOSED_COMMANDS(ADD)
    INTERPOSED_CALLS(ADD)
#undef ADD
    return sum;
}

static void begin_counting(void) {
    own_allocations = vulkan_allocations = 0;
    interposed = (interposed_counts){0};
}

/* Recording the whole pass, `rounds` times; the median of the thread's own time. */
static void measure_recording(test_host *host, dvk_session *session, int rounds) {
    double times[101];
    REQUIRE(rounds <= 101);
    const dvk_session_info *info = dvk_session_get_info(session);
    for (int i = 0; i < rounds; i++) {
        VkCommandBuffer buffer = host_begin(host, VK_COMMAND_BUFFER_LEVEL_PRIMARY);
        dvk_record_params params = {.command_buffer = buffer};
        begin_counting();
        double start = cpu_ms();
        CHECK(dvk_session_record(session, &params, NULL) == DVK_OK);
        times[i] = cpu_ms() - start;
        CHECK(own_allocations == 0);
        CHECK_MESSAGE(all_calls() == commands(), "%u calls besides commands", all_calls() - commands());
        VK(vkEndCommandBuffer(buffer));
        vkFreeCommandBuffers(host->device, host->command_pool, 1, &buffer);
    }
    qsort(times, (size_t)rounds, sizeof(double), compare);
    printf("record   %u dispatches, %u Vulkan calls (%u barriers), %u allocations, %.3f ms of the host's CPU (median "
           "of %d; "
           "least %.3f)\n",
           info->dispatches, all_calls(), interposed.vkCmdPipelineBarrier, own_allocations, times[rounds / 2], rounds,
           times[0]);
    CHECK(interposed.vkCmdDispatch == info->dispatches);
    CHECK(interposed.vkCmdCopyBuffer == 0); /* nothing goes over the host unless asked for */
    CHECK(commands() <= 5 * info->dispatches + 1);
}

static void measure_submitting(dvk_session *session, const float *pixels) {
    for (int i = 0; i < 3; i++)
        CHECK(dvk_session_run(session, pixels, 1, NULL) == DVK_OK); /* warm-up */
    begin_counting();
    CHECK(dvk_session_write(session, 0, pixels, 1, NULL) == DVK_OK);
    double start = cpu_ms();
    CHECK(dvk_session_submit(session, NULL, NULL) == DVK_OK);
    double submitted = cpu_ms() - start;
    CHECK(dvk_session_wait(session, 0, UINT64_MAX, NULL) == DVK_OK);
    const dvk_session_info *info = dvk_session_get_info(session);
    printf(
        "submit   %u submissions, %u Vulkan calls with the wait, %u allocations, %.3f ms of the host's CPU; %llu bytes "
        "in\n",
        info->submissions, all_calls(), own_allocations, submitted,
        (unsigned long long)3 * info->width * info->height * sizeof(float));
    CHECK(own_allocations == 0 && vulkan_allocations == 0);
    CHECK(interposed.vkQueueSubmit == info->submissions && commands() == 0);
    CHECK(interposed.vkAllocateMemory == 0 && interposed.vkCreateBuffer == 0);
    CHECK_MESSAGE(all_calls() <= info->submissions + 2, "%u calls", all_calls()); /* a fence reset, and waited for */
}

int main(int argc, char **argv) {
    const char *name = argc > 1 ? argv[1] : "vit-tiny";
    char path[128];
    snprintf(path, sizeof(path), "cost-%s", name);
    REQUIRE(synth_write_model(name, path, NULL));
    test_host host;
    const dvk_allocator allocator = {.allocate = allocate, .release = release};
    const VkAllocationCallbacks callbacks = {
        .pfnAllocation = vulkan_allocate, .pfnReallocation = vulkan_reallocate, .pfnFree = vulkan_free};
    /* The layer's own time would be counted, too. */
    host_open(&host, argc > 1 ? HOST_UNWATCHED : HOST_GODOT);
    dvk_import import = host_import(&host);
    import.get_instance_proc_addr = (dvk_function)interpose_get_instance_proc_addr;
    dvk_context *context = NULL;
    const dvk_context_params params = {.allocator = &allocator, .vulkan_allocator = &callbacks};
    REQUIRE(dvk_context_import(&import, &params, &context, NULL) == DVK_OK);
    CHECK(own_allocations > 0);
    dvk_model *model = load_model(context, path);
    dvk_session *session = open_session(model, (dvk_session_params){0});
    const dvk_session_info *info = dvk_session_get_info(session);
    size_t count = 3 * (size_t)info->width * info->height;
    float *pixels = malloc(count * sizeof(float));
    REQUIRE(pixels != NULL);
    make_pixels(1, pixels, count);
    printf("%s at %ux%u on %s\n", name, info->width, info->height, dvk_context_device(context)->name);
    measure_recording(&host, session, 101);
    measure_submitting(session, pixels);
    CHECK(interposed.vkQueueWaitIdle == 0 && interposed.vkDeviceWaitIdle == 0);
    free(pixels);
    dvk_session_destroy(&session);
    dvk_model_destroy(&model);
    dvk_context_destroy(&context);
    host_close(&host);
    CHECK(host_messages() == 0);
    return FINISH();
}
