#include "profile.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const hidden_names[] = {"fp16",         "storage16",  "int64",    "dot",      "subgroups",
                                           "size_control", "timestamps", "timeline", "matrices", "extensions"};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static bool read_hidden(char *text, limits_profile *profile) {
    char *rest = NULL;
    for (char *word = strtok_r(text, ",", &rest); word; word = strtok_r(NULL, ",", &rest)) {
        size_t i = 0;
        while (i < COUNT(hidden_names) && strcmp(word, hidden_names[i]) != 0)
            i++;
        if (i == COUNT(hidden_names))
            return false;
        profile->hide |= 1u << i;
    }
    return true;
}

static bool read_heaps(char *text, limits_profile *profile) {
    VkPhysicalDeviceMemoryProperties *memory = &profile->memory;
    char *rest = NULL;
    for (char *word = strtok_r(text, ",", &rest); word; word = strtok_r(NULL, ",", &rest)) {
        char *end;
        if (memory->memoryHeapCount == VK_MAX_MEMORY_HEAPS)
            return false;
        VkMemoryHeap *heap = &memory->memoryHeaps[memory->memoryHeapCount++];
        heap->size = strtoull(word, &end, 10) << 20;
        heap->flags = *end == 'd' ? VK_MEMORY_HEAP_DEVICE_LOCAL_BIT : 0;
        if (!heap->size || strcmp(end, *end ? "d" : "") != 0)
            return false;
    }
    return true;
}

static bool read_types(char *text, limits_profile *profile) {
    static const struct {
        char letter;
        VkMemoryPropertyFlags flags;
    } letters[] = {
        {'d', VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT},
        {'v', VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT},
        {'c', VK_MEMORY_PROPERTY_HOST_COHERENT_BIT},
        {'k', VK_MEMORY_PROPERTY_HOST_CACHED_BIT},
        {'p', VK_MEMORY_PROPERTY_PROTECTED_BIT},
        {'a', VK_MEMORY_PROPERTY_DEVICE_COHERENT_BIT_AMD | VK_MEMORY_PROPERTY_DEVICE_UNCACHED_BIT_AMD},
        {'x', 0},
    };
    VkPhysicalDeviceMemoryProperties *memory = &profile->memory;
    char *rest = NULL;
    for (char *word = strtok_r(text, ",", &rest); word; word = strtok_r(NULL, ",", &rest)) {
        if (memory->memoryTypeCount == VK_MAX_MEMORY_TYPES || *word < '0' || *word > '9')
            return false;
        VkMemoryType *type = &memory->memoryTypes[memory->memoryTypeCount];
        type->heapIndex = (uint32_t)(*word - '0');
        for (const char *letter = word + 1; *letter; letter++) {
            size_t i = 0;
            while (i < COUNT(letters) && letters[i].letter != *letter)
                i++;
            if (i == COUNT(letters))
                return false;
            type->propertyFlags |= letters[i].flags;
        }
        /* A buffer that is not protected has no protected memory (the specification, vkGetBufferMemoryRequirements). */
        if (!strpbrk(word, "xp"))
            profile->buffer_types |= 1u << memory->memoryTypeCount;
        memory->memoryTypeCount++;
    }
    return true;
}

static bool read_number(const char *text, uint64_t *number) {
    char *end;
    *number = strtoull(text, &end, 0);
    return end != text && !*end;
}

static bool read_value(const char *key, char *value, limits_profile *profile) {
    const struct {
        const char *key;
        uint64_t *number;
    } numbers[] = {
        {"invocations", &profile->invocations},
        {"shared", &profile->shared},
        {"buffers", &profile->buffers},
        {"range", &profile->range},
        {"groups", &profile->groups},
        {"push", &profile->push},
        {"alignment", &profile->alignment},
        {"atom", &profile->atom},
        {"subgroup", &profile->subgroup},
        {"vector_bits", &profile->vector_bits},
        {"allocations", &profile->allocations},
        {"allocation", &profile->allocation},
        {"vendor", &profile->vendor},
        {"driver", &profile->driver},
        {"driver_version", &profile->driver_version},
        {"drop", &profile->drop},
    };
    for (size_t i = 0; i < COUNT(numbers); i++)
        if (!strcmp(key, numbers[i].key))
            return read_number(value, numbers[i].number);
    unsigned minor;
    if (!strcmp(key, "api") && sscanf(value, "1.%u", &minor) == 1) {
        profile->api = VK_MAKE_API_VERSION(0, 1, minor, 0);
        return true;
    }
    if (!strcmp(key, "type") && !strcmp(value, "discrete")) {
        profile->type = VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU;
        return true;
    }
    return (!strcmp(key, "hide") && read_hidden(value, profile)) ||
           (!strcmp(key, "heaps") && read_heaps(value, profile)) ||
           (!strcmp(key, "types") && read_types(value, profile));
}

static bool read_values(char *values, limits_profile *profile, char *why_not, size_t size) {
    char *rest = NULL;
    for (char *word = strtok_r(values, " \n", &rest); word; word = strtok_r(NULL, " \n", &rest)) {
        char *value = strchr(word, '=');
        if (value)
            *value++ = '\0';
        if (!value || !read_value(word, value, profile)) {
            snprintf(why_not, size, "the profile %s has a value of %s that is none", profile->name, word);
            return false;
        }
    }
    for (uint32_t i = 0; i < profile->memory.memoryTypeCount; i++)
        if (profile->memory.memoryTypes[i].heapIndex >= profile->memory.memoryHeapCount) {
            snprintf(why_not, size, "the profile %s has a memory type without a heap", profile->name);
            return false;
        }
    return true;
}

/* Behind the name and the tests, which are meson's. */
static char *values_of(char *line) {
    line += strcspn(line, " ");
    line += strspn(line, " ");
    return line + strcspn(line, " \n");
}

bool limits_profile_read(const char *path, const char *name, const char *more, limits_profile *profile, char *why_not,
                         size_t size) {
    char line[1024];
    const size_t length = strlen(name);
    FILE *file = fopen(path, "r");
    memset(profile, 0, sizeof(*profile));
    snprintf(profile->name, sizeof(profile->name), "%s", name);
    bool found = false, good = false;
    while (file && !found && fgets(line, sizeof(line), file)) {
        found = length && *line != '#' && !strncmp(line, name, length) && line[length] == ' ';
        good = found && read_values(values_of(line), profile, why_not, size);
    }
    snprintf(line, sizeof(line), "%s", more);
    good = good && read_values(line, profile, why_not, size);
    if (file)
        fclose(file);
    if (!found)
        snprintf(why_not, size, "%s has no profile %s", path, name);
    return good;
}
