/* pacing [MODEL [BUDGET_US [FRAMES]]]: passes spread over frames, as a renderer does it: every frame records the next
 * slice of a pass into a command buffer of its own, submits it and waits. Prints how long the slices take. Timings need
 * a quiet machine, or `chrt -f 50`; so this is a benchmark, not a test. */
#include "host.h"
#include "outputs.h"
#include "synth.h"

#include <time.h>

int test_failures_, test_checks_;

static double now_ms(void) {
    struct timespec now = {0};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec * 1e-6;
}

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The next slice, from submission to the fence. */
static double run_slice(test_host *host, dvk_session *session, VkCommandBuffer commands, VkFence fence,
                        dvk_position first, dvk_position last) {
    VkCommandBufferBeginInfo begin = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO};
    VkSubmitInfo submit = {
        .sType = VK_STRUCTURE_TYPE_SUBMIT_INFO, .commandBufferCount = 1, .pCommandBuffers = &commands};
    VK(vkBeginCommandBuffer(commands, &begin));
    CHECK(dvk_session_record(session,
                             &(dvk_record_params){.command_buffer = commands,
                                                  .flags = DVK_RECORD_UPLOAD | DVK_RECORD_READBACK,
                                                  .first = first,
                                                  .last = last},
                             NULL) == DVK_OK);
    VK(vkEndCommandBuffer(commands));
    double start = now_ms();
    VK(vkQueueSubmit(host->queue, 1, &submit, fence));
    VK(vkWaitForFences(host->device, 1, &fence, VK_TRUE, UINT64_MAX));
    double ms = now_ms() - start;
    VK(vkResetFences(host->device, 1, &fence));
    return ms;
}

static void print_table(const dvk_session *session, double *ms, uint32_t frames, uint32_t passes, uint32_t budget_us) {
    double sum = 0, worst_first[8] = {0};
    for (uint32_t i = 0; i < frames; i++)
        sum += ms[i];
    qsort(ms, frames, sizeof(double), compare);
    for (int i = 0; i < 8 && (uint32_t)i < frames; i++)
        worst_first[i] = ms[frames - 1 - (uint32_t)i];
    printf("%u dispatches a pass; %u frames, %u whole passes\n", dvk_session_get_info(session)->dispatches, frames,
           passes);
    printf("budget ms | mean | median | p90 | p99 | most\n");
    printf("%.2f | %.2f | %.2f | %.2f | %.2f | %.2f\n", budget_us / 1e3, sum / frames, ms[frames / 2],
           ms[frames * 90 / 100], ms[frames * 99 / 100], ms[frames - 1]);
    printf("the longest:");
    for (int i = 0; i < 8; i++)
        printf(" %.2f", worst_first[i]);
    printf("\n");
}

int main(int argc, char **argv) {
    const char *name = argc > 1 ? argv[1] : "dino-vits8";
    const uint32_t budget_us = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) : 4000;
    const uint32_t frames = argc > 3 ? (uint32_t)strtoul(argv[3], NULL, 10) : 500;
    char path[128];
    snprintf(path, sizeof(path), "pacing-%s", name);
    REQUIRE(frames > 0 && synth_write_model(name, path, NULL));
    test_host host;
    host_open(&host, HOST_UNWATCHED);
    host.features = DVK_FEATURE_SUBGROUP_BALLOT;
    dvk_context *context = host_context(&host);
    dvk_model *model = load_model(context, path);
    dvk_session *session = open_session(model, (dvk_session_params){0});
    const dvk_session_info *info = dvk_session_get_info(session);
    const size_t count = 3 * (size_t)info->width * info->height;
    float *pixels = malloc(count * sizeof(float));
    double *ms = malloc(frames * sizeof(double));
    static float expected[MAX_FEATURES], found[MAX_FEATURES];
    REQUIRE(pixels && ms);
    make_pixels(1, pixels, count);
    CHECK(dvk_session_run(session, pixels, 1, NULL) == DVK_OK); /* drivers compile late */
    const size_t bytes = read_features(session, 0, 0, expected) * sizeof(float);
    CHECK(dvk_session_profile(session, NULL, 0, NULL) == DVK_OK);

    VkCommandBuffer commands = host_begin(&host, VK_COMMAND_BUFFER_LEVEL_PRIMARY);
    VkFence fence = host_fence(&host);
    VK(vkEndCommandBuffer(commands));
    dvk_position at = {0, 0};
    uint32_t passes = 0;
    for (uint32_t i = 0; i < frames; i++) {
        dvk_position next = dvk_session_slice(session, at, budget_us);
        ms[i] = run_slice(&host, session, commands, fence, at, next);
        at = next;
        if (at.op < info->end.op)
            continue;
        read_features(session, 0, 0, found);
        CHECK(memcmp(found, expected, bytes) == 0);
        at = (dvk_position){0, 0};
        passes++;
    }
    printf("%s at %ux%u on %s\n", name, info->width, info->height, dvk_context_device(context)->name);
    print_table(session, ms, frames, passes, budget_us);
    vkDestroyFence(host.device, fence, NULL);
    vkFreeCommandBuffers(host.device, host.command_pool, 1, &commands);
    free(pixels);
    free(ms);
    dvk_session_destroy(&session);
    dvk_model_destroy(&model);
    dvk_context_destroy(&context);
    host_close(&host);
    return FINISH();
}
