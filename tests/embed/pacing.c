/* pacing [MODEL [BUDGET_US [FRAMES [PERIOD_US]]]]: passes spread over frames, as a renderer does it: every
 * frame records the next slice of a pass into a command buffer of its own, submits it, waits, and sleeps until the next
 * frame. Prints how long the slices take, by the host's clock and by timestamps around them, and next to it one slice
 * that is always the same, run in every frame, too: what that varies is the machine's, not ours. Timings need a quiet
 * machine, or `chrt -f 50`; so this is a benchmark, not a test. */
#include "host.h"
#include "outputs.h"
#include "synth.h"

#include <math.h>
#include <time.h>

int test_failures_, test_checks_;

static double now_ms(void) {
    struct timespec now = {0};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec * 1e-6;
}

static void sleep_until(double ms) {
    double rest = ms - now_ms();
    if (rest > 0)
        nanosleep(&(struct timespec){.tv_sec = (time_t)(rest / 1e3), .tv_nsec = (long)(fmod(rest, 1e3) * 1e6)}, NULL);
}

/* What a frame has of its own. */
typedef struct test_frame {
    test_host *host;
    VkCommandBuffer commands;
    VkFence fence;
    VkQueryPool stamps; /* 2; none where the queue has no timestamps */
    double ns_per_stamp;
} test_frame;

typedef struct duration {
    double host_ms;   /* from submission to the fence */
    double device_ms; /* between timestamps before and after */
} duration;

static test_frame open_frame(test_host *host) {
    test_frame frame = {.host = host, .fence = host_fence(host)};
    VkCommandBufferAllocateInfo info = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
                                        .commandPool = host->command_pool,
                                        .level = VK_COMMAND_BUFFER_LEVEL_PRIMARY,
                                        .commandBufferCount = 1};
    VK(vkAllocateCommandBuffers(host->device, &info, &frame.commands));
    VkPhysicalDeviceProperties properties;
    vkGetPhysicalDeviceProperties(host->physical_device, &properties);
    frame.ns_per_stamp = (double)properties.limits.timestampPeriod;
    VkQueueFamilyProperties families[MAX_FAMILIES];
    host_families(host, families);
    VkQueryPoolCreateInfo pool = {
        .sType = VK_STRUCTURE_TYPE_QUERY_POOL_CREATE_INFO, .queryType = VK_QUERY_TYPE_TIMESTAMP, .queryCount = 2};
    if (families[host->queue_family].timestampValidBits)
        VK(vkCreateQueryPool(host->device, &pool, NULL, &frame.stamps));
    return frame;
}

static void close_frame(test_frame *frame) {
    vkDestroyQueryPool(frame->host->device, frame->stamps, NULL);
    vkDestroyFence(frame->host->device, frame->fence, NULL);
    vkFreeCommandBuffers(frame->host->device, frame->host->command_pool, 1, &frame->commands);
}

static duration run_slice(const test_frame *frame, dvk_session *session, dvk_position first, dvk_position last) {
    VkCommandBufferBeginInfo begin = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO};
    VkSubmitInfo submit = {
        .sType = VK_STRUCTURE_TYPE_SUBMIT_INFO, .commandBufferCount = 1, .pCommandBuffers = &frame->commands};
    VkDevice device = frame->host->device;
    VK(vkBeginCommandBuffer(frame->commands, &begin));
    if (frame->stamps) {
        vkCmdResetQueryPool(frame->commands, frame->stamps, 0, 2);
        vkCmdWriteTimestamp(frame->commands, VK_PIPELINE_STAGE_BOTTOM_OF_PIPE_BIT, frame->stamps, 0);
    }
    CHECK(dvk_session_record(session,
                             &(dvk_record_params){.command_buffer = frame->commands,
                                                  .flags = DVK_RECORD_UPLOAD | DVK_RECORD_READBACK,
                                                  .first = first,
                                                  .last = last},
                             NULL) == DVK_OK);
    if (frame->stamps)
        vkCmdWriteTimestamp(frame->commands, VK_PIPELINE_STAGE_BOTTOM_OF_PIPE_BIT, frame->stamps, 1);
    VK(vkEndCommandBuffer(frame->commands));
    double start = now_ms();
    VK(vkQueueSubmit(frame->host->queue, 1, &submit, frame->fence));
    VK(vkWaitForFences(device, 1, &frame->fence, VK_TRUE, UINT64_MAX));
    duration result = {.host_ms = now_ms() - start};
    VK(vkResetFences(device, 1, &frame->fence));
    uint64_t stamps[2] = {0};
    if (frame->stamps)
        VK(vkGetQueryPoolResults(device, frame->stamps, 0, 2, sizeof(stamps), stamps, sizeof(*stamps),
                                 VK_QUERY_RESULT_64_BIT));
    result.device_ms = (double)(stamps[1] - stamps[0]) * frame->ns_per_stamp * 1e-6;
    return result;
}

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void print_row(const char *what, double *ms, uint32_t count) {
    double sum = 0;
    for (uint32_t i = 0; i < count; i++)
        sum += ms[i];
    qsort(ms, count, sizeof(double), compare);
    printf("%s | %.2f | %.2f | %.2f | %.2f | %.2f |", what, sum / count, ms[count / 2], ms[count * 90 / 100],
           ms[count * 99 / 100], ms[count - 1]);
    for (uint32_t i = 2; i <= 8 && i <= count; i++)
        printf(" %.2f", ms[count - i]);
    printf("\n");
}

static void print_table(const duration *slices, const duration *fixed, uint32_t frames) {
    double *ms = malloc(frames * sizeof(double));
    REQUIRE(ms);
    printf("ms | mean | median | p90 | p99 | most | next\n");
    for (int what = 0; what < 4; what++) {
        static const char *const names[] = {"slices, submission to fence", "slices, timestamps",
                                            "the same slice, submission to fence", "the same slice, timestamps"};
        const duration *durations = what < 2 ? slices : fixed;
        for (uint32_t i = 0; i < frames; i++)
            ms[i] = what % 2 ? durations[i].device_ms : durations[i].host_ms;
        print_row(names[what], ms, frames);
    }
    free(ms);
}

/* The rest of a pass, at once: its features must be those of the whole. */
static void finish_pass(const test_frame *frame, dvk_session *session, dvk_position at, const float *expected,
                        size_t bytes) {
    static float found[MAX_FEATURES];
    const dvk_position end = dvk_session_get_info(session)->end;
    if (at.op < end.op)
        run_slice(frame, session, at, end);
    read_features(session, 0, 0, found);
    CHECK(memcmp(found, expected, bytes) == 0);
}

int main(int argc, char **argv) {
    const char *name = argc > 1 ? argv[1] : "dino-vits8";
    const uint32_t budget_us = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) : 4000;
    const uint32_t frames = argc > 3 ? (uint32_t)strtoul(argv[3], NULL, 10) : 600;
    const uint32_t period_us = argc > 4 ? (uint32_t)strtoul(argv[4], NULL, 10) : 16667;
    char path[128];
    snprintf(path, sizeof(path), "pacing-%s", name);
    REQUIRE(frames > 0 && synth_write_model(name, path, NULL));
    test_host host;
    host_open(&host, HOST_UNWATCHED);
    dvk_context *context = host_context(&host);
    dvk_model *model = load_model(context, path);
    dvk_session *session = open_session(model, (dvk_session_params){0});
    dvk_session *other = open_session(model, (dvk_session_params){0});
    const dvk_session_info *info = dvk_session_get_info(session);
    const size_t count = 3 * (size_t)info->width * info->height;
    float *pixels = malloc(count * sizeof(float));
    duration *slices = malloc(frames * sizeof(*slices)), *fixed = malloc(frames * sizeof(*fixed));
    static float expected[MAX_FEATURES];
    REQUIRE(pixels && slices && fixed);
    make_pixels(1, pixels, count);
    CHECK(dvk_session_run(session, pixels, 1, NULL) == DVK_OK); /* drivers compile late */
    const size_t bytes = read_features(session, 0, 0, expected) * sizeof(float);
    CHECK(dvk_session_profile(session, NULL, 0, NULL) == DVK_OK);

    test_frame frame = open_frame(&host);
    dvk_position at = {0, 0};
    uint32_t passes = 0;
    /* Of the first product of the MLP, half a budget: costs that nothing has confirmed count double. */
    const dvk_position fixed_first = {7, 0}, fixed_last = dvk_session_slice(session, fixed_first, budget_us);
    const double start = now_ms();
    for (uint32_t i = 0; i < frames; i++) {
        sleep_until(start + i * (period_us * 1e-3));
        const dvk_position next = dvk_session_slice(session, at, budget_us);
        slices[i] = run_slice(&frame, session, at, next);
        CHECK(dvk_session_learn(session, at, next, (uint32_t)(slices[i].host_ms * 1e3), NULL) == DVK_OK);
        fixed[i] = run_slice(&frame, other, fixed_first, fixed_last);
        at = next;
        if (at.op == info->end.op) {
            finish_pass(&frame, session, at, expected, bytes);
            at = (dvk_position){0, 0};
            passes++;
        }
    }
    finish_pass(&frame, session, at, expected, bytes);
    printf("%s at %ux%u on %s; %.2f ms of every %.2f; %u frames, %u whole passes of %u dispatches\n", name, info->width,
           info->height, dvk_context_device(context)->name, budget_us * 1e-3, period_us * 1e-3, frames, passes,
           info->dispatches);
    print_table(slices, fixed, frames);
    close_frame(&frame);
    free(pixels);
    free(slices);
    free(fixed);
    dvk_session_destroy(&other);
    dvk_session_destroy(&session);
    dvk_model_destroy(&model);
    dvk_context_destroy(&context);
    host_close(&host);
    return FINISH();
}
