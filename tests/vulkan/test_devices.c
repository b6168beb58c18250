/* Choosing a device and folding a grid: pure functions, no driver. */
#include "context.h"
#include "record.h"
#include "test.h"

static const dvk_device_info devices[] = {
    {.index = 0, .type = DVK_DEVICE_CPU, .name = "llvmpipe (LLVM 15)", .uuid = {0x6d, 0x65}, .usable = true},
    {.index = 1, .type = DVK_DEVICE_INTEGRATED, .name = "Intel(R) Graphics", .uuid = {1, 2, 3}, .usable = true},
    {.index = 2, .type = DVK_DEVICE_DISCRETE, .name = "AMD Radeon RX 7600", .uuid = {4, 5, 6}, .usable = true},
    {.index = 3, .type = DVK_DEVICE_DISCRETE, .name = "AMD Radeon Old", .uuid = {7}, .why_not = "it has Vulkan 1.0"},
};

static uint32_t choose(uint32_t count, const char *request) {
    dvk_error error;
    uint32_t chosen = UINT32_MAX;
    if (dvk_choose_device(devices, count, request, &chosen, &error) != DVK_OK)
        return 100 + (uint32_t)-error.code;
    return chosen;
}

static void test_choice(void) {
    CHECK(choose(4, NULL) == 2);
    CHECK(choose(4, "") == 2);
    CHECK(choose(2, NULL) == 1);
    CHECK(choose(1, NULL) == 0); /* a software driver, as it is alone */
    CHECK(choose(4, "0") == 0);
    CHECK(choose(4, "1") == 1);
    CHECK(choose(4, "radeon") == 2); /* two match; the usable one wins */
    CHECK(choose(4, "LLVMPIPE") == 0);
    CHECK(choose(4, "01020300000000000000000000000000") == 1);
    CHECK(choose(4, "04050600-0000-0000-0000-000000000000") == 2);
    CHECK(choose(0, NULL) == 100 + (uint32_t)-DVK_ERROR_NO_VULKAN);
    CHECK(choose(4, "3") == 100 + (uint32_t)-DVK_ERROR_NO_DEVICE); /* not usable */
    CHECK(choose(4, "4") == 100 + (uint32_t)-DVK_ERROR_NO_DEVICE);
    CHECK(choose(4, "99999") == 100 + (uint32_t)-DVK_ERROR_NO_DEVICE);
    CHECK(choose(4, "nvidia") == 100 + (uint32_t)-DVK_ERROR_NO_DEVICE);
    CHECK(choose(4, "ffffffffffffffffffffffffffffffff") == 100 + (uint32_t)-DVK_ERROR_NO_DEVICE);
}

/* A message that is too long ends in "...", and never with half a letter. */
static void test_long_message(void) {
    for (size_t shift = 0; shift < 3; shift++) {
        char request[800] = "";
        for (size_t i = 0; i < shift; i++)
            strcat(request, "x");
        for (size_t i = 0; i < 200; i++)
            strcat(request, "\xe2\x82\xac"); /* the euro sign */
        dvk_error error;
        uint32_t chosen;
        CHECK(dvk_choose_device(devices, 4, request, &chosen, &error) == DVK_ERROR_NO_DEVICE);
        size_t length = strlen(error.message);
        CHECK(length >= sizeof(error.message) - 6 && !strcmp(error.message + length - 3, "..."));
        CHECK((unsigned char)error.message[length - 4] == 0xac && (unsigned char)error.message[length - 6] == 0xe2);
    }
}

static void check_fold(uint32_t groups, uint32_t x, uint32_t y, uint32_t z) {
    const uint32_t limits[3] = {x, y, z};
    uint32_t grid[3] = {0, 0, 0};
    bool fits = dvk_fold_grid(groups, limits, grid);
    uint64_t capacity = (uint64_t)x * y * z;
    CHECK_MESSAGE(fits == (groups > 0 && groups <= capacity), "%u groups in %ux%ux%u", groups, x, y, z);
    if (!fits)
        return;
    uint64_t total = (uint64_t)grid[0] * grid[1] * grid[2];
    CHECK_MESSAGE(grid[0] <= x && grid[1] <= y && grid[2] <= z && total >= groups, "%u groups in %ux%ux%u", groups, x,
                  y, z);
    /* Nothing is wasted but the end of the last row and the last rows of the last layer. */
    CHECK_MESSAGE(total - groups < (uint64_t)grid[0] * grid[1] + grid[0], "%u groups in %ux%ux%u", groups, x, y, z);
}

static void test_fold(void) {
    const uint32_t limits[] = {1, 2, 3, 7, 65535};
    for (size_t x = 0; x < 5; x++)
        for (size_t y = 0; y < 5; y++)
            for (size_t z = 0; z < 5; z++)
                for (uint32_t groups = 0; groups < 400; groups++)
                    check_fold(groups, limits[x], limits[y], limits[z]);
    check_fold(65535, 65535, 65535, 65535);
    check_fold(65536, 65535, 65535, 65535);
    check_fold(3000000000u, 65535, 65535, 65535);
    check_fold(UINT32_MAX, 2147483647, 65535, 65535);
    check_fold(UINT32_MAX, 65535, 65535, 65535);
}

int main(void) {
    test_choice();
    test_long_message();
    test_fold();
    return FINISH();
}
