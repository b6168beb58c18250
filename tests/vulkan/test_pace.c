/* Slices that follow what slices took, against a device that is made of numbers: how many exceed their budget, and how
 * much of it they use. */
#include "pace.h"
#include "random.h"
#include "schedule.h"
#include "test.h"

enum { KINDS = 7, LAYERS = 12, OPS = KINDS * LAYERS, BUDGET_NS = 4000000 };

/* What a layer of dino-vits8 takes on llvmpipe, whole. */
static const uint64_t KIND_NS[KINDS] = {700000, 28500000, 35500000, 9600000, 650000, 38000000, 39000000};
static const uint32_t KIND_GROUPS[KINDS] = {99, 900, 102, 300, 100, 1200, 301};

typedef struct fake_device {
    uint32_t at_once;      /* workgroups */
    double slower[KINDS];  /* slices, to what the ops took when they were profiled */
    double noise;          /* uniform, of each slice, to both sides */
    uint32_t interrupted;  /* of 1000 slices, ten times as long */
    uint64_t fixed_ns;     /* of each slice */
    uint64_t random_state; /* of the noise */
} fake_device;

static dvk_op ops[OPS];
static const dvk_plan plan = {.ops = ops, .op_count = OPS};
static uint64_t op_ns[OPS];

static double uniform(uint64_t *state) {
    return (double)(random_next(state) >> 11) * 0x1p-53;
}

static double time_slice(fake_device *device, dvk_position first, dvk_position last, bool *interrupted) {
    double ns = 0;
    for (uint32_t i = first.op; i < OPS && i <= last.op; i++) {
        const uint32_t groups = ops[i].push.groups.group_end;
        const uint32_t from = i == first.op ? first.group : 0, to = i == last.op ? last.group : groups;
        const uint32_t rounds = (to - from + device->at_once - 1) / device->at_once;
        ns += (double)KIND_NS[i % KINDS] * device->slower[i % KINDS] * rounds * device->at_once / groups;
    }
    ns = ns * (1 + device->noise * (2 * uniform(&device->random_state) - 1)) + (double)device->fixed_ns;
    *interrupted = random_below(&device->random_state, 1000) < device->interrupted;
    return *interrupted ? 10 * ns : ns;
}

typedef struct statistics {
    uint32_t slices, longer; /* than the budget, though not interrupted */
    double mean_ns;          /* of those not interrupted */
} statistics;

static statistics run_pass(dvk_pace *pace, fake_device *device) {
    statistics result = {0};
    double sum = 0;
    uint32_t counted = 0;
    for (dvk_position at = {0, 0}; !dvk_position_is_end(&plan, at); result.slices++) {
        const dvk_position to = dvk_pace_next(pace, &plan, at, BUDGET_NS);
        bool interrupted;
        const double ns = time_slice(device, at, to, &interrupted);
        dvk_pace_learn(pace, &plan, at, to, (uint64_t)ns);
        at = to;
        if (interrupted)
            continue;
        result.longer += ns > BUDGET_NS;
        sum += ns;
        counted++;
    }
    result.mean_ns = sum / counted;
    return result;
}

static dvk_pace open_pace(uint32_t at_once) {
    dvk_pace pace = {0};
    REQUIRE(dvk_pace_create(&plan, NULL, at_once, &pace, NULL) == DVK_OK);
    dvk_pace_start(&pace, op_ns);
    return pace;
}

static void test_kinds(void) {
    dvk_pace pace = open_pace(1);
    CHECK(pace.kind_count == KINDS);
    for (uint32_t i = 0; i < OPS; i++) {
        CHECK(pace.kind_of[i] == i % KINDS);
        /* Half of the profile is wrong, to both sides: the median does not know. */
        CHECK_MESSAGE(pace.ns[i] == 2 * KIND_NS[i % KINDS], "op %u: %llu ns", i, (unsigned long long)pace.ns[i]);
    }
    dvk_pace_free(&pace);
}

/* Slices take up to 1.5 times what the profile says, by kind. Noise of 8 % to both sides is a mean deviation of 4 %,
 * so that a margin of three deviations holds it all; less than 1 of 100 may be longer, for the estimate has noise of
 * its own. Of the budget, 1 / (1 + 3 * 4 %) can be used, less what does not divide: a workgroup of the third kind is a
 * tenth of it. */
static void test_steady(void) {
    dvk_pace pace = open_pace(1);
    fake_device device = {.at_once = 1,
                          .slower = {1.4, 1.45, 1.2, 1, 0.8, 1.5, 1.3},
                          .noise = 0.08,
                          .interrupted = 5,
                          .fixed_ns = 100000,
                          .random_state = 3};
    uint32_t slices = 0, longer = 0;
    for (int pass = 0; pass < 10; pass++) {
        const statistics result = run_pass(&pace, &device);
        slices += result.slices;
        longer += result.longer;
        CHECK_MESSAGE(pass == 0 || result.mean_ns > 0.75 * BUDGET_NS, "pass %d: %g ms on average", pass,
                      result.mean_ns * 1e-6);
    }
    CHECK_MESSAGE(longer * 100 < slices, "%u of %u slices exceed the budget", longer, slices);
    dvk_pace_free(&pace);
}

/* A device that throttles to half its clock, and recovers: after one pass, slices are again what they should be. */
static void test_change(void) {
    dvk_pace pace = open_pace(1);
    fake_device device = {.at_once = 1, .slower = {1, 1, 1, 1, 1, 1, 1}, .noise = 0.05, .random_state = 4};
    for (int turn = 0; turn < 4; turn++) {
        for (int k = 0; k < KINDS; k++)
            device.slower[k] = turn % 2 ? 2 : 1;
        run_pass(&pace, &device);
        const statistics result = run_pass(&pace, &device);
        CHECK_MESSAGE(result.longer * 100 < result.slices && result.mean_ns > 0.75 * BUDGET_NS,
                      "turn %d: %u of %u slices exceed the budget, %g ms on average", turn, result.longer,
                      result.slices, result.mean_ns * 1e-6);
    }
    dvk_pace_free(&pace);
}

/* Two workgroups at once, of which each takes long: two are a third of the budget and so is one, so that pieces must
 * be even. */
static void test_wide(void) {
    dvk_pace pace = open_pace(2);
    fake_device device = {.at_once = 2, .slower = {1, 1, 1.9, 1, 1, 1, 1}, .random_state = 6};
    for (int pass = 0; pass < 4; pass++) {
        const statistics result = run_pass(&pace, &device);
        CHECK_MESSAGE(result.longer * 100 < result.slices, "pass %d: %u of %u slices exceed the budget", pass,
                      result.longer, result.slices);
        CHECK_MESSAGE(pass == 0 || result.mean_ns > 0.7 * BUDGET_NS, "pass %d: %g ms on average", pass,
                      result.mean_ns * 1e-6);
    }
    for (dvk_position at = {0, 0}; !dvk_position_is_end(&plan, at);) {
        const dvk_position to = dvk_pace_next(&pace, &plan, at, 1);
        CHECK(to.group % 2 == 0 && (to.op > at.op || to.group > at.group));
        at = to;
    }
    dvk_pace_free(&pace);
}

/* Whatever it is told, costs stay finite and slices move on. */
static void test_nonsense(void) {
    dvk_pace pace = open_pace(1);
    uint64_t random_state = 5;
    for (int round = 0; round < 20000; round++) {
        const dvk_position first = {random_below(&random_state, OPS), 0};
        const dvk_position last = {first.op + 1 + random_below(&random_state, OPS - first.op), 0};
        const uint64_t took = round % 5000 < 2500 ? 0 : UINT32_MAX * UINT64_C(1000);
        dvk_pace_learn(&pace, &plan, first, last, took);
        for (uint32_t i = 0; i < OPS; i++)
            CHECK(pace.ns[i] <= 1000000000000000000);
        const dvk_position next = dvk_pace_next(&pace, &plan, first, BUDGET_NS);
        CHECK(next.op > first.op || next.group > first.group);
    }
    const uint64_t none[OPS] = {0};
    dvk_pace_start(&pace, none);
    dvk_pace_learn(&pace, &plan, (dvk_position){0, 0}, (dvk_position){OPS, 0}, 1000);
    CHECK(dvk_position_is_end(&plan, dvk_pace_next(&pace, &plan, (dvk_position){0, 0}, 0)));
    dvk_pace_free(&pace);
}

int main(void) {
    for (uint32_t i = 0; i < OPS; i++) {
        ops[i].push.groups.group_end = KIND_GROUPS[i % KINDS];
        static const double off[] = {1, 3, 1, 0.25};
        op_ns[i] = (uint64_t)((double)KIND_NS[i % KINDS] * off[i / KINDS % 4]);
    }
    test_kinds();
    test_steady();
    test_change();
    test_wide();
    test_nonsense();
    return FINISH();
}
