/* Any text as the file of --variants. */
#include "choice.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (!size || memchr(data, '\0', size)) /* variants_read() refuses the latter */
        return 0;
    fuzz_memory memory;
    const dvk_allocator allocator = fuzz_allocator(&memory, 16 << 20);
    char *text = malloc(size + 1);
    REQUIRE_ALWAYS(text);
    memcpy(text, data, size);
    text[size] = '\0';
    dvk_choices *choices = NULL;
    dvk_error error = {0};
    const dvk_result result = dvk_choices_create(&allocator, text, &choices, &error);
    if (result == DVK_OK) {
        for (size_t i = 0; i < choices->pin_count; i++) {
            REQUIRE_ALWAYS(choices->pins[i].variant < choices->table_count);
            REQUIRE_ALWAYS(memchr(choices->pins[i].use, '\0', sizeof(choices->pins[i].use)));
        }
    } else {
        fuzz_check_refusal(result, &error);
    }
    dvk_choices_destroy(&allocator, choices);
    REQUIRE_ALWAYS(memory.blocks == 0);
    free(text);
    return 0;
}
