#include "cache_file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#ifdef _WIN32
#include <direct.h>
#include <windows.h>
#define make_directory(path) _mkdir(path)
#else
#include <unistd.h>
#define make_directory(path) mkdir(path, 0700)
#endif

/* Drivers check their own blobs poorly (ncnn's bug_corrupted_online_pipeline_cache, for one), so the file says which
 * driver it is of and sums up what it holds. Little-endian like every host that we run on; elsewhere the magic number
 * does not fit and the file is ignored. */
typedef struct cache_header {
    uint32_t magic, format;
    uint32_t vendor_id, device_id, driver_version, reserved;
    uint8_t device_uuid[VK_UUID_SIZE], driver_uuid[VK_UUID_SIZE];
    char library_version[16];
    uint64_t size, checksum; /* of the blob that follows */
} cache_header;

enum {
    CACHE_MAGIC = 0x504b5644, /* "DVKP" */
    CACHE_FORMAT = 1,
    CACHE_LIMIT = 256 << 20 /* a file larger than this is none of ours */
};

/* FNV-1a, 64 bits: enough against truncation and bit rot; an attacker who writes here owns the account anyway. */
static uint64_t checksum(const void *bytes, size_t size) {
    const uint8_t *byte = bytes;
    uint64_t hash = 0xcbf29ce484222325;
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ byte[i]) * 0x100000001b3;
    return hash;
}

static cache_header make_header(const dvk_context *context, const void *blob, size_t size) {
    cache_header header;
    memset(&header, 0, sizeof(header));
    header.magic = CACHE_MAGIC;
    header.format = CACHE_FORMAT;
    header.vendor_id = context->info.vendor_id;
    header.device_id = context->info.device_id;
    header.driver_version = context->driver_version;
    memcpy(header.device_uuid, context->info.uuid, VK_UUID_SIZE);
    memcpy(header.driver_uuid, context->driver_uuid, VK_UUID_SIZE);
    snprintf(header.library_version, sizeof(header.library_version), "%s", dvk_version());
    header.size = size;
    header.checksum = checksum(blob, size);
    return header;
}

/* The blob, to be freed, or NULL. */
static void *read_blob(const dvk_context *context, size_t *size) {
    FILE *file = fopen(context->cache_path, "rb");
    if (!file)
        return NULL;
    cache_header header;
    void *blob = NULL;
    if (fread(&header, sizeof(header), 1, file) == 1 && header.magic == CACHE_MAGIC && header.size <= CACHE_LIMIT)
        blob = malloc(header.size ? (size_t)header.size : 1);
    if (blob && (fread(blob, 1, (size_t)header.size, file) != header.size || fgetc(file) != EOF)) {
        free(blob);
        blob = NULL;
    }
    fclose(file);
    if (!blob)
        return NULL;
    cache_header expected = make_header(context, blob, (size_t)header.size);
    if (memcmp(&header, &expected, sizeof(header)) != 0) {
        free(blob);
        return NULL;
    }
    *size = (size_t)header.size;
    return blob;
}

static void make_directories(char *path) {
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        (void)make_directory(path); /* it exists, or opening the file will fail and the cache is not written */
        *slash = '/';
    }
}

dvk_result dvk_pipeline_cache_open(dvk_context *context, const char *directory, dvk_error *error) {
    size_t size = 0;
    void *blob = NULL;
    if (directory) {
        size_t capacity = strlen(directory) + 64;
        context->cache_path = malloc(capacity);
        if (!context->cache_path)
            return dvk_fail_memory(error, capacity);
        int length = snprintf(context->cache_path, capacity, "%s/pipelines-", directory);
        for (unsigned i = 0; i < VK_UUID_SIZE; i++)
            length += snprintf(context->cache_path + length, capacity - (size_t)length, "%02x", context->info.uuid[i]);
        snprintf(context->cache_path + length, capacity - (size_t)length, ".bin");
        blob = read_blob(context, &size);
        dvk_log_message(&context->log, DVK_LOG_INFO, "pipeline cache %s: %s", context->cache_path,
                        blob ? "read" : "nothing usable there");
    }
    VkPipelineCacheCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_PIPELINE_CACHE_CREATE_INFO, .initialDataSize = size, .pInitialData = blob};
    VkResult result = context->vk.vkCreatePipelineCache(context->device, &info, NULL, &context->pipeline_cache);
    if (result != VK_SUCCESS && blob) {
        info.initialDataSize = 0;
        result = context->vk.vkCreatePipelineCache(context->device, &info, NULL, &context->pipeline_cache);
    } else if (blob) {
        context->cache_checksum = checksum(blob, size);
    }
    free(blob);
    return dvk_check_vulkan(result, "vkCreatePipelineCache", error);
}

static bool write_file(const char *path, const cache_header *header, const void *blob, size_t size) {
    FILE *file = fopen(path, "wb");
    if (!file)
        return false;
    bool good = fwrite(header, sizeof(*header), 1, file) == 1 && fwrite(blob, 1, size, file) == size;
    good &= fflush(file) == 0;
#ifndef _WIN32
    good = good && fsync(fileno(file)) == 0;
#endif
    good &= fclose(file) == 0;
    if (!good)
        remove(path);
    return good;
}

static bool replace_file(const char *from, const char *to) {
#ifdef _WIN32
    return MoveFileExA(from, to, MOVEFILE_REPLACE_EXISTING) != 0;
#else
    return rename(from, to) == 0;
#endif
}

void dvk_pipeline_cache_save(dvk_context *context) {
    if (!context->cache_path || !context->pipeline_cache)
        return;
    size_t size = 0;
    if (context->vk.vkGetPipelineCacheData(context->device, context->pipeline_cache, &size, NULL) != VK_SUCCESS)
        return;
    size_t path_size = strlen(context->cache_path) + 32;
    char *temporary = malloc(path_size);
    void *blob = malloc(size ? size : 1);
    if (!temporary || !blob ||
        context->vk.vkGetPipelineCacheData(context->device, context->pipeline_cache, &size, blob) != VK_SUCCESS) {
        free(temporary);
        free(blob);
        return;
    }
    cache_header header = make_header(context, blob, size);
    if (header.checksum != context->cache_checksum) {
        make_directories(context->cache_path);
        /* Unique per context, so that two processes never write the same file; the last one to rename wins. */
#ifdef _WIN32
        unsigned long process = GetCurrentProcessId();
#else
        unsigned long process = (unsigned long)getpid();
#endif
        snprintf(temporary, path_size, "%s.%lx-%x", context->cache_path, process,
                 (unsigned)((uintptr_t)context >> 4 & 0xffffff));
        if (write_file(temporary, &header, blob, size) && replace_file(temporary, context->cache_path)) {
            context->cache_checksum = header.checksum;
        } else {
            dvk_log_message(&context->log, DVK_LOG_WARNING, "the pipeline cache %s cannot be written: %s",
                            context->cache_path, strerror(errno));
            remove(temporary);
        }
    }
    free(temporary);
    free(blob);
}
