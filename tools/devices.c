/* `dino-vk devices` */
#include <inttypes.h>
#include <stdlib.h>

#include "commands.h"
#include "device_input.h"
#include "model_input.h"
#include "output_file.h"
#include "report.h"
#include "text.h"
#include "variant_list.h"

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
}

/* What the device makes of one pass of the model, without running it. */
struct rehearsal {
    dvk_context *context;
    dvk_model *model;
    dvk_session *session;
};

static void close_rehearsal(struct rehearsal *rehearsal) {
    dvk_session_destroy(&rehearsal->session);
    dvk_model_destroy(&rehearsal->model);
    dvk_context_destroy(&rehearsal->context);
}

static int open_rehearsal(const struct options *options, const dvk_device_info *info, struct rehearsal *rehearsal) {
    char index[16];
    struct options own = *options;
    dvk_error error;
    snprintf(index, sizeof(index), "%" PRIu32, info->index);
    own.device = index;
    own.verbose = false;
    int code = device_open(&own, &rehearsal->context);
    if (code == 0)
        code = model_read(options->model, NULL, options->precision, rehearsal->context, &rehearsal->model);
    const dvk_session_params params = {.batch = options->batch, .width = options->width, .height = options->height};
    if (code == 0 && dvk_session_create(rehearsal->model, &params, &rehearsal->session, &error) != DVK_OK)
        code = fail_library(EXIT_CODE_DEVICE, &error);
    if (code)
        close_rehearsal(rehearsal);
    return code;
}

static int print_variants(const struct options *options, const dvk_device_info *info) {
    struct rehearsal rehearsal = {0};
    int code = open_rehearsal(options, info, &rehearsal);
    if (code)
        return code;
    const dvk_session_info *session = dvk_session_get_info(rehearsal.session);
    const dvk_model_info *model = dvk_model_get_info(rehearsal.model);
    progress_clear();
    if (options->json) {
        printf(", \"tier\": ");
        print_json_string(stdout, dvk_context_tier(rehearsal.context));
        printf(", \"model\": ");
        print_json_string(stdout, model->name);
        printf(", \"input_size\": [%" PRIu32 ", %" PRIu32 "], \"batch\": %" PRIu32 ", \"fingerprint\": \"%s\", ",
               session->width, session->height, session->batch, session->fingerprint);
        printf("\"variants\": ");
        code = variants_print_json(rehearsal.context);
    } else {
        printf("   tier    %s\n   kernels %s for ", dvk_context_tier(rehearsal.context), session->fingerprint);
        print_plain(stdout, model->name);
        printf(", %" PRIu32 "x%" PRIu32 ", batch %" PRIu32 "\n", session->width, session->height, session->batch);
        code = variants_print(rehearsal.context);
    }
    close_rehearsal(&rehearsal);
    return code;
}

static int print_one(const struct options *options, const dvk_device_info *info) {
    int code = 0;
    if (options->json)
        print_device_json(info);
    else
        print_device(info);
    if (options->verbose && info->usable)
        code = print_variants(options, info);
    if (options->json && code == 0)
        printf("}\n");
    return code;
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
    int code = 0;
    for (uint32_t i = 0; i < count && i < capacity && code == 0; i++)
        code = print_one(options, &infos[i]);
    free(infos);
    return code ? code : flush_stdout();
}
