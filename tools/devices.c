/* `dino-vk devices` */
#include <inttypes.h>
#include <stdlib.h>

#include "commands.h"
#include "output_file.h"
#include "report.h"
#include "text.h"

static void print_uuid(const uint8_t uuid[16]) {
    for (int i = 0; i < 16; i++)
        printf("%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", uuid[i]);
}

static void print_device(const dvk_device_info *info) {
    char bytes[24];
    printf("%" PRIu32 "  ", info->index);
    print_plain(stdout, info->name);
    printf("\n   type    %s\n   driver  ", device_type_name(info->type));
    print_plain(stdout, info->driver[0] ? info->driver : "not told");
    printf("\n   uuid    ");
    print_uuid(info->uuid);
    printf("\n   vulkan  %u.%u, subgroup %" PRIu32 ", %" PRIu32 " invocations and %" PRIu32
           " shared bytes a workgroup\n",
           info->api_version >> 22 & 0x7f, info->api_version >> 12 & 0x3ff, info->subgroup_size,
           info->max_workgroup_invocations, info->shared_memory);
    printf("   memory  %s, ", format_bytes(info->device_memory, bytes));
    printf("at most %s in one range\n", format_bytes(info->max_storage_range, bytes));
    printf("   fp16    arithmetic %s, storage %s\n", info->has_fp16_arithmetic ? "yes" : "no",
           info->has_fp16_storage ? "yes" : "no");
    if (!info->usable) {
        printf("   usable  no: ");
        print_plain(stdout, info->why_not);
        putchar('\n');
    }
}

static const char *json_bool(bool value) {
    return value ? "true" : "false";
}

static void print_device_json(const dvk_device_info *info) {
    printf("{\"index\": %" PRIu32 ", \"name\": ", info->index);
    print_json_string(stdout, info->name);
    printf(", \"type\": \"%s\", \"driver\": ", device_type_name(info->type));
    print_json_string(stdout, info->driver);
    printf(", \"uuid\": \"");
    print_uuid(info->uuid);
    printf("\", \"vendor_id\": %" PRIu32 ", \"device_id\": %" PRIu32 ", \"vulkan\": \"%u.%u\"", info->vendor_id,
           info->device_id, info->api_version >> 22 & 0x7f, info->api_version >> 12 & 0x3ff);
    printf(", \"device_memory\": %" PRIu64 ", \"max_storage_range\": %" PRIu64 ", \"subgroup_size\": %" PRIu32
           ", \"max_workgroup_invocations\": %" PRIu32 ", \"shared_memory\": %" PRIu32,
           info->device_memory, info->max_storage_range, info->subgroup_size, info->max_workgroup_invocations,
           info->shared_memory);
    printf(", \"fp16_arithmetic\": %s, \"fp16_storage\": %s, \"usable\": %s, \"why_not\": ",
           json_bool(info->has_fp16_arithmetic), json_bool(info->has_fp16_storage), json_bool(info->usable));
    print_json_string(stdout, info->why_not);
    printf("}\n");
}

int command_devices(const struct options *options) {
    dvk_error error;
    uint32_t count = 0;
    if (dvk_list_devices(NULL, NULL, &count, &error) != DVK_OK)
        return fail_library(EXIT_CODE_DEVICE, &error);
    uint32_t capacity = count;
    dvk_device_info *infos = calloc(capacity ? capacity : 1, sizeof(*infos));
    if (!infos)
        return fail(EXIT_CODE_DEVICE, "out of memory for the list of devices");
    /* A device that appears between the two calls is left out. */
    if (dvk_list_devices(NULL, infos, &count, &error) != DVK_OK) {
        free(infos);
        return fail_library(EXIT_CODE_DEVICE, &error);
    }
    if (count == 0) {
        free(infos);
        return fail(EXIT_CODE_DEVICE,
                    "there is no Vulkan device; install a driver, such as Debian's mesa-vulkan-drivers, "
                    "which also brings one in software");
    }
    for (uint32_t i = 0; i < count && i < capacity; i++) {
        if (options->json)
            print_device_json(&infos[i]);
        else
            print_device(&infos[i]);
    }
    free(infos);
    return flush_stdout();
}
