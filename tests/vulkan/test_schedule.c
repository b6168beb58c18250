/* Cutting a pass by time: the arithmetic alone, then on a device, where every cut must give the bits of the whole, and
 * a part that is missing must be noticed. */
#include "clock.h"
#include "commands.h"
#include "cost_store.h"
#include "device.h"
#include "random.h"
#include "read_all.h"
#include "session.h"
#include "synth.h"

#define MODEL "schedule-vit-tiny"
#define CACHE "schedule-cache"

enum { SIZE = 32, PIXELS = 3 * SIZE * SIZE, BATCH = 8, ALL_OUTPUTS = (1 << DVK_OUTPUT_LOGITS) - 1, CAPACITY = 65536 };

static uint64_t random_state = 2;

static uint32_t below(uint32_t bound) {
    return random_below(&random_state, bound);
}

static double distance(const dvk_plan *plan, const uint64_t *ns, dvk_position from, dvk_position to) {
    double sum = 0;
    for (uint32_t i = from.op; i <= to.op && i < plan->op_count; i++) {
        uint32_t groups = plan->ops[i].push.groups.group_end;
        uint32_t first = i == from.op ? from.group : 0, last = i == to.op ? to.group : groups;
        sum += (double)ns[i] * (last - first) / groups;
    }
    return sum;
}

/* Every piece moves on, keeps its budget unless it is a single workgroup, and could not have taken another sixteenth of
 * an op; the last one reaches the end. */
static void test_arithmetic(void) {
    enum { OPS = 12 };
    static dvk_op ops[OPS];
    uint64_t ns[OPS];
    for (int round = 0; round < 2000; round++) {
        dvk_plan plan = {.ops = ops, .op_count = 1 + below(OPS)};
        double total = 0;
        for (uint32_t i = 0; i < plan.op_count; i++) {
            ops[i].push.groups.group_end = 1 + below(round % 2 ? 20 : 100000);
            ns[i] = below(8) ? below(10000000) : 0;
            total += (double)ns[i];
        }
        uint64_t budget = round % 5 ? below(3000000) : round % 10 ? 0 : UINT64_MAX;
        dvk_position at = {0, 0};
        double sum = 0;
        uint32_t pieces = 0;
        while (!dvk_position_is_end(&plan, at) && pieces < 100000) {
            dvk_position to = dvk_schedule_next(&plan, ns, at, budget);
            CHECK(to.op > at.op || (to.op == at.op && to.group > at.group));
            CHECK(to.op < plan.op_count ? to.group < ops[to.op].push.groups.group_end
                                        : to.op == plan.op_count && to.group == 0);
            double piece = distance(&plan, ns, at, to);
            bool single = to.op == at.op ? to.group == at.group + 1
                                         : to.group == 0 && at.group + 1 == ops[at.op].push.groups.group_end;
            /* Each op that is taken as a whole may round its cost up by less than a nanosecond. */
            CHECK_MESSAGE(single || piece <= (double)budget + OPS, "%g of %llu ns", piece, (unsigned long long)budget);
            if (to.op < plan.op_count) {
                uint32_t groups = ops[to.op].push.groups.group_end;
                double more = (double)ns[to.op] * (groups / 16 + 1) / groups;
                CHECK(piece + more + OPS >= (double)budget);
            }
            sum += piece;
            at = to;
            pieces++;
        }
        CHECK(dvk_position_is_end(&plan, at));
        CHECK_MESSAGE(sum > total * (1 - 1e-9) - 1 && sum < total * (1 + 1e-9) + 1, "%g of %g ns", sum, total);
        CHECK(budget != UINT64_MAX || pieces == 1);
        /* One piece where it all fits; costs are rounded to whole nanoseconds. */
        CHECK(total + OPS > (double)budget || pieces == 1);
    }
}

static size_t read_batch(const dvk_session *session, float *values) {
    size_t used = 0;
    for (uint32_t image = 0; image < BATCH; image++)
        used += read_all(session, image, values + used, CAPACITY - used);
    return used;
}

static float pixels[2][BATCH * PIXELS];

/* Cuts anywhere, thousands of them in some rounds. Another input runs in between, so that nothing of an earlier pass
 * can stand in for a part that is missing. */
static void test_cuts(dvk_session *session) {
    static float whole[CAPACITY], again[CAPACITY];
    const dvk_plan *plan = &session->plan;
    CHECK(dvk_session_run(session, pixels[0], BATCH, NULL) == DVK_OK);
    size_t count = read_batch(session, whole);
    uint32_t most = 0;
    for (int round = 0; round < 30; round++) {
        for (uint32_t i = 0; i < plan->op_count; i++)
            session->op_ns[i] = 1 + below(1000);
        session->budget_ns = round == 0 ? 0 : 1 + below(round % 3 ? 2000 : 200);
        REQUIRE(dvk_pass_record(session, NULL) == DVK_OK);
        most = session->slots[0].pass.count > most ? session->slots[0].pass.count : most;
        CHECK(dvk_session_run(session, pixels[1], BATCH, NULL) == DVK_OK);
        CHECK(dvk_session_run(session, pixels[0], BATCH, NULL) == DVK_OK);
        read_batch(session, again);
        CHECK_MESSAGE(memcmp(whole, again, count * sizeof(float)) == 0, "round %d: %u submissions", round,
                      session->slots[0].pass.count);
    }
    CHECK_MESSAGE(most > DVK_GUARD_WORDS, "%u submissions at most", most); /* some share a guard word */
}

/* All ranges in one command buffer: there the synchronisation validation follows what each op reads and writes. */
static void test_ranges(dvk_session *session) {
    dvk_context *context = session->model->context;
    for (int round = 0; round < 10; round++) {
        VkCommandBuffer commands;
        REQUIRE(dvk_commands_begin(context, 0, &commands, NULL) == DVK_OK);
        dvk_position at = {0, 0};
        while (!dvk_position_is_end(&session->plan, at)) {
            dvk_position to = dvk_schedule_next(&session->plan, session->op_ns, at, 1 + below(4000));
            dvk_record_ops(&session->recorder, commands, at, to);
            at = to;
        }
        REQUIRE(context->vk.vkEndCommandBuffer(commands) == VK_SUCCESS);
        context->vk.vkFreeCommandBuffers(context->device, context->command_pool, 1, &commands);
    }
    CHECK(test_validation_messages_ == 0);
}

/* A driver that drops a submission and signals the fence all the same: each one in turn. */
static void test_dropped(dvk_session *session) {
    for (uint32_t i = 0; i < session->plan.op_count; i++)
        session->op_ns[i] = 100;
    session->budget_ns = 250;
    REQUIRE(dvk_pass_record(session, NULL) == DVK_OK);
    uint32_t count = session->slots[0].pass.count;
    CHECK(count > 4);
    CHECK(dvk_session_run(session, pixels[0], BATCH, NULL) == DVK_OK);

    dvk_context *context = session->model->context;
    VkCommandBuffer empty;
    VkCommandBufferAllocateInfo info = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
                                        .commandPool = context->command_pool,
                                        .commandBufferCount = 1};
    VkCommandBufferBeginInfo begin = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO};
    REQUIRE(context->vk.vkAllocateCommandBuffers(context->device, &info, &empty) == VK_SUCCESS);
    REQUIRE(context->vk.vkBeginCommandBuffer(empty, &begin) == VK_SUCCESS);
    REQUIRE(context->vk.vkEndCommandBuffer(empty) == VK_SUCCESS);
    for (uint32_t i = 0; i < count; i++) {
        float value;
        dvk_error error;
        VkCommandBuffer dropped = session->slots[0].pass.commands[i];
        session->slots[0].pass.commands[i] = empty;
        CHECK_MESSAGE(dvk_session_run(session, pixels[0], BATCH, &error) == DVK_ERROR_INCOMPLETE, "submission %u", i);
        CHECK_MESSAGE(strstr(error.message, "dropped part"), "%s", error.message);
        CHECK(dvk_session_read(session, DVK_OUTPUT_CLS, 0, &value, 1, NULL) == DVK_ERROR_INVALID_ARGUMENT);
        session->slots[0].pass.commands[i] = dropped;
        CHECK(dvk_session_run(session, pixels[0], BATCH, NULL) == DVK_OK);
    }
    context->vk.vkFreeCommandBuffers(context->device, context->command_pool, 1, &empty);
}

/* Timed by the device's clock and by the host's: the outputs stay, every op has a place in time, and a budget of a
 * third of the measured sum gives at least three submissions. */
static void test_profile(dvk_session *session) {
    static float before[CAPACITY], after[CAPACITY];
    static dvk_op_profile ops[256];
    dvk_context *context = session->model->context;
    const dvk_plan *plan = &session->plan;
    REQUIRE(plan->op_count < 256);
    session->budget_ns = UINT64_MAX;
    REQUIRE(dvk_pass_record(session, NULL) == DVK_OK);
    CHECK(dvk_session_run(session, pixels[0], BATCH, NULL) == DVK_OK);
    size_t count = read_batch(session, before);
    uint32_t bits = context->timestamp_bits;
    if (!bits)
        printf("the device has no timestamps: by the host's clock alone\n");
    for (int round = 0; round < 4; round++) {
        context->timestamp_bits = round % 2 ? 0 : bits;
        memset(ops, 0, sizeof(ops));
        double start = dvk_now_ms();
        CHECK(dvk_session_profile(session, ops, plan->op_count - 1, NULL) == DVK_OK);
        double wall_ns = (dvk_now_ms() - start) * 1e6, sum = 0;
        CHECK(ops[plan->op_count - 1].label == NULL); /* beyond the capacity */
        for (uint32_t i = 0; i + 1 < plan->op_count; i++) {
            CHECK(strcmp(ops[i].label, plan->ops[i].label) == 0 && ops[i].flops == plan->ops[i].flops);
            CHECK_MESSAGE(i == 0 || ops[i].start_ns >= ops[i - 1].start_ns + ops[i - 1].ns, "op %u starts at %llu ns",
                          i, (unsigned long long)ops[i].start_ns);
            CHECK(session->op_ns[i] == ops[i].ns);
            sum += (double)ops[i].ns;
        }
        CHECK_MESSAGE(sum > 0 && sum <= wall_ns, "ops take %g ns of %g", sum, wall_ns);
        read_batch(session, after);
        CHECK(memcmp(before, after, count * sizeof(float)) == 0);
        session->budget_ns = round < 2 ? (uint64_t)(sum / 3) : UINT64_MAX;
        REQUIRE(dvk_pass_record(session, NULL) == DVK_OK);
        CHECK(round < 2 ? session->slots[0].pass.count >= 3 : session->slots[0].pass.count == 1);
        CHECK(dvk_session_run(session, pixels[0], BATCH, NULL) == DVK_OK);
        read_batch(session, after);
        CHECK(memcmp(before, after, count * sizeof(float)) == 0);
    }
    context->timestamp_bits = bits;
    CHECK(dvk_session_profile(session, NULL, 0, NULL) == DVK_OK);
    CHECK(dvk_session_profile(session, NULL, 1, NULL) == DVK_ERROR_INVALID_ARGUMENT);
    CHECK(dvk_session_profile(NULL, NULL, 0, NULL) == DVK_ERROR_INVALID_ARGUMENT);
}

/* What was measured is found by another context through the cache file, for exactly that plan; of many plans the newest
 * are kept. */
static void test_kept_costs(void) {
    enum { PLANS = 20, KEPT = 16 };
    static uint64_t measured[PLANS][256];
    uint32_t counts[PLANS] = {0};
    for (int turn = 0; turn < 2; turn++) {
        dvk_context *context = test_open_context(CACHE);
        dvk_model *model = NULL;
        REQUIRE(dvk_model_load(context, &(dvk_model_params){.path = MODEL}, &model, NULL) == DVK_OK);
        for (uint32_t i = 0; i < PLANS; i++) {
            dvk_session *session = NULL;
            dvk_session_params params = {.batch = i + 1};
            REQUIRE(dvk_session_create(model, &params, &session, NULL) == DVK_OK);
            const uint32_t count = session->plan.op_count;
            REQUIRE(count <= 256);
            if (turn == 0) {
                for (uint32_t op = 0; op < count; op++)
                    measured[i][op] = 1 + below(1000000);
                counts[i] = count;
                dvk_costs_store(context, &session->plan, measured[i]);
            } else {
                const bool same =
                    counts[i] == count && memcmp(session->op_ns, measured[i], count * sizeof(uint64_t)) == 0;
                CHECK_MESSAGE(same == (i >= PLANS - KEPT), "the costs of a batch of %u", i + 1);
            }
            dvk_session_destroy(&session);
        }
        dvk_model_destroy(&model);
        test_close_context(&context);
    }
}

/* What submit_budget_ms means. The tiny model takes estimated tenths of a millisecond on the slowest class. */
static void test_budgets(dvk_model *model) {
    dvk_context *context = model->context;
    dvk_device_type type = context->info.type;
    const struct {
        dvk_device_type type;
        uint32_t budget_ms;
        uint64_t expected;
    } cases[] = {
        {DVK_DEVICE_CPU, 0, UINT64_MAX},       {DVK_DEVICE_DISCRETE, 0, 200000000},
        {DVK_DEVICE_INTEGRATED, 0, 200000000}, {DVK_DEVICE_DISCRETE, UINT32_MAX, UINT64_MAX},
        {DVK_DEVICE_CPU, 7, 7000000},          {DVK_DEVICE_DISCRETE, UINT32_MAX - 1, (UINT32_MAX - 1) * 1000000ull},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        dvk_session *session = NULL;
        context->info.type = cases[i].type;
        dvk_session_params params = {.submit_budget_ms = cases[i].budget_ms};
        REQUIRE(dvk_session_create(model, &params, &session, NULL) == DVK_OK);
        CHECK(session->budget_ns == cases[i].expected);
        CHECK(dvk_session_get_info(session)->submissions == 1 && session->slots[0].pass.count == 1);
        dvk_session_destroy(&session);
    }
    context->info.type = type;
    /* 1 ms does not hold 32 images of 64x64. */
    dvk_session *session = NULL;
    dvk_session_params params = {.batch = 32, .width = 64, .height = 64, .submit_budget_ms = 1};
    REQUIRE(dvk_session_create(model, &params, &session, NULL) == DVK_OK);
    CHECK_MESSAGE(dvk_session_get_info(session)->submissions > 1, "%u submissions",
                  dvk_session_get_info(session)->submissions);
    dvk_session_destroy(&session);
}

int main(void) {
    test_arithmetic();
    REQUIRE(synth_write_model("vit-tiny", MODEL, NULL));
    for (int i = 0; i < 2 * BATCH * PIXELS; i++)
        (&pixels[0][0])[i] = (float)below(4096) / 1024.0f - 2.0f;
    dvk_context *context = test_open_context(NULL);
    dvk_model *model = NULL;
    dvk_session *session = NULL;
    REQUIRE(dvk_model_load(context, &(dvk_model_params){.path = MODEL}, &model, NULL) == DVK_OK);
    dvk_session_params params = {.batch = BATCH, .outputs = ALL_OUTPUTS};
    REQUIRE(dvk_session_create(model, &params, &session, NULL) == DVK_OK);
    CHECK(session->slots[0].pass.count == 1);
    test_cuts(session);
    test_ranges(session);
    test_profile(session);
    test_dropped(session);
    dvk_session_destroy(&session);
    test_budgets(model);
    dvk_model_destroy(&model);
    test_close_context(&context);
    test_kept_costs();
    return FINISH();
}
