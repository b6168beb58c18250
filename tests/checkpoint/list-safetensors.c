/* What the reader makes of files that compare_safetensors.py sends: on the standard input a length (32 bits,
 * little-endian) and the bytes, again and again; for each one line: "refused" and why, or "ok" and of every tensor its
 * name, dtype, shape and data, in hexadecimal where they could be anything. */
#include "safetensors.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void print_hex(const void *bytes, uint64_t size) {
    for (uint64_t i = 0; i < size; i++)
        printf("%02x", ((const uint8_t *)bytes)[i]);
}

static void print_file(const uint8_t *bytes, size_t size) {
    dvk_tensor_list list = {0};
    dvk_error error = {0};
    if (dvk_safetensors_parse(NULL, bytes, size, "file", &list, &error) != DVK_OK) {
        printf("refused %s\n", error.message);
    } else {
        printf("ok");
        for (size_t i = 0; i < list.count; i++) {
            const dvk_tensor *tensor = &list.tensors[i];
            printf(" .");
            print_hex(tensor->name, strlen(tensor->name));
            printf(":%s:", tensor->dtype_name);
            for (uint32_t k = 0; k < tensor->rank; k++)
                printf("%s%llu", k ? "," : "", (unsigned long long)tensor->shape[k]);
            printf(":");
            print_hex(tensor->data, tensor->bytes);
        }
        printf("\n");
    }
    dvk_tensor_list_free(&list);
    fflush(stdout);
}

int main(void) {
    uint8_t length[4];
    while (fread(length, 1, 4, stdin) == 4) {
        const size_t size =
            (size_t)length[0] | (size_t)length[1] << 8 | (size_t)length[2] << 16 | (size_t)length[3] << 24;
        uint8_t *bytes = malloc(size + !size);
        if (!bytes || fread(bytes, 1, size, stdin) != size)
            return 1;
        print_file(bytes, size);
        free(bytes);
    }
    return 0;
}
