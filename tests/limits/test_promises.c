/* The layer notices what it is there to notice: each promise is broken once, in a process of its own, which must end by
 * the layer's sentence. */
#include "choice.h"
#include "commands.h"
#include "device.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static dvk_context *context;
static const struct VolkDeviceTable *vk;
static VkCommandBuffer commands;

static VkBuffer make_buffer(VkDeviceSize size) {
    const VkBufferCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO, .size = size, .usage = VK_BUFFER_USAGE_STORAGE_BUFFER_BIT};
    VkBuffer buffer;
    REQUIRE(vk->vkCreateBuffer(context->device, &info, NULL, &buffer) == VK_SUCCESS);
    return buffer;
}

static void bind(VkDeviceSize size, VkDeviceSize offset, VkDeviceSize range) {
    const VkDescriptorBufferInfo info = {make_buffer(size), offset, range};
    const VkWriteDescriptorSet write = {.sType = VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET,
                                        .descriptorCount = 1,
                                        .descriptorType = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER,
                                        .pBufferInfo = &info};
    vk->vkUpdateDescriptorSets(context->device, 1, &write, 0, NULL);
}

static VkResult allocate(uint32_t type, VkDeviceSize size, VkDeviceMemory *memory) {
    const VkMemoryAllocateInfo info = {
        .sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO, .allocationSize = size, .memoryTypeIndex = type};
    return vk->vkAllocateMemory(context->device, &info, NULL, memory);
}

static void compile(const dvk_variant *variant) {
    const dvk_pipeline *pipeline;
    dvk_error error;
    (void)dvk_pipeline_get(context, variant, (dvk_specialisation){0}, &pipeline, &error);
}

static dvk_variant layernorm(void) {
    for (size_t i = 0; i < dvk_variant_count; i++)
        if (dvk_variants[i].kernel == DVK_KERNEL_LAYERNORM && dvk_variants[i].device_class == DVK_CLASS_GPU)
            return dvk_variants[i];
    return dvk_variants[0];
}

static void compile_with(uint32_t features) {
    for (size_t i = 0; i < dvk_variant_count; i++)
        if (dvk_variants[i].features & features)
            compile(&dvk_variants[i]);
}

static void create_device(const void *chain) {
    const float priority = 1.0f;
    VkDeviceQueueCreateInfo queue = {
        .sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO, .queueCount = 1, .pQueuePriorities = &priority};
    VkDeviceCreateInfo info = {.sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO,
                               .pNext = chain,
                               .queueCreateInfoCount = 1,
                               .pQueueCreateInfos = &queue};
    VkDevice device;
    (void)context->instance.vk.vkCreateDevice(context->physical_device, &info, NULL, &device);
}

/* ------------------------------------------------------------------------------------ what breaks a promise */

static void grid(void) {
    vk->vkCmdDispatch(commands, 65536, 1, 1);
}

static void push_constants(void) {
    const uint32_t values[33] = {0};
    const VkPushConstantRange range = {VK_SHADER_STAGE_COMPUTE_BIT, 0, sizeof(values)};
    const VkPipelineLayoutCreateInfo info = {.sType = VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO,
                                             .pushConstantRangeCount = 1,
                                             .pPushConstantRanges = &range};
    VkPipelineLayout layout;
    (void)vk->vkCreatePipelineLayout(context->device, &info, NULL, &layout);
}

static void five_buffers(void) {
    dvk_variant variant = layernorm();
    VkDescriptorSetLayoutBinding bindings[5];
    for (uint32_t i = 0; i < 5; i++)
        bindings[i] = (VkDescriptorSetLayoutBinding){i, dvk_descriptor_type(variant.binding_kinds[0]), 1,
                                                     VK_SHADER_STAGE_COMPUTE_BIT, NULL};
    const VkDescriptorSetLayoutCreateInfo set = {
        .sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_LAYOUT_CREATE_INFO, .bindingCount = 5, .pBindings = bindings};
    VkDescriptorSetLayout layout;
    REQUIRE(vk->vkCreateDescriptorSetLayout(context->device, &set, NULL, &layout) == VK_SUCCESS);
    const VkPipelineLayoutCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO, .setLayoutCount = 1, .pSetLayouts = &layout};
    VkPipelineLayout made;
    (void)vk->vkCreatePipelineLayout(context->device, &info, NULL, &made);
}

static void long_range(void) {
    bind((1u << 27) + 256, 0, VK_WHOLE_SIZE);
}

static void odd_offset(void) {
    bind(4096, 64, 256);
}

static void beyond_the_end(void) {
    bind(4096, 3840, 512);
}

static void workgroup(void) {
    dvk_variant variant = layernorm();
    variant.local_size = 129;
    compile(&variant);
}

/* Attention at its widest heads. */
static void shared_memory(void) {
    const dvk_pipeline *pipeline;
    for (size_t i = 0; i < dvk_variant_count; i++) {
        const dvk_variant *variant = &dvk_variants[i];
        if (dvk_variant_shared_bytes(variant, variant->max_head_dim) > 16384 && variant->local_size &&
            variant->local_size <= 128 && !variant->features)
            (void)dvk_pipeline_get(context, variant, (dvk_specialisation){.head_dim = variant->max_head_dim}, &pipeline,
                                   NULL);
    }
}

static void int64(void) {
    compile_with(DVK_FEATURE_INT64);
}

static void half(void) {
    compile_with(DVK_FEATURE_FP16_ARITHMETIC);
}

static void feature(void) {
    VkPhysicalDevice16BitStorageFeatures storage = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_16BIT_STORAGE_FEATURES,
                                                    .storageBuffer16BitAccess = VK_TRUE};
    create_device(&storage);
}

static void later_structure(void) {
    VkPhysicalDeviceDriverProperties driver = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_DRIVER_PROPERTIES};
    VkPhysicalDeviceProperties2 properties = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2,
                                              .pNext = &driver};
    context->instance.vk.vkGetPhysicalDeviceProperties2(context->physical_device, &properties);
}

static void timestamp(void) {
    vk->vkCmdWriteTimestamp(commands, VK_PIPELINE_STAGE_TOP_OF_PIPE_BIT, VK_NULL_HANDLE, 0);
}

static void hidden_memory(void) {
    VkDeviceMemory memory;
    void *data;
    REQUIRE(allocate(0, 4096, &memory) == VK_SUCCESS);
    (void)vk->vkMapMemory(context->device, memory, 0, VK_WHOLE_SIZE, 0, &data);
}

static void odd_flush(void) {
    VkDeviceMemory memory;
    REQUIRE(allocate(1, 4096, &memory) == VK_SUCCESS);
    const VkMappedMemoryRange range = {
        .sType = VK_STRUCTURE_TYPE_MAPPED_MEMORY_RANGE, .memory = memory, .offset = 64, .size = 256};
    (void)vk->vkFlushMappedMemoryRanges(context->device, 1, &range);
}

static void type_beyond(void) {
    VkDeviceMemory memory;
    (void)allocate(2, 4096, &memory);
}

static void large_piece(void) {
    VkDeviceMemory memory;
    (void)allocate(0, (VkDeviceSize)1025 << 20, &memory);
}

static void odd_binding(void) {
    VkDeviceMemory memory;
    REQUIRE(allocate(0, 8192, &memory) == VK_SUCCESS);
    (void)vk->vkBindBufferMemory(context->device, make_buffer(256), memory, 64);
}

static const struct {
    void (*breaks)(void);
    const char *sentence;
} cases[] = {
    {grid, "a grid is 65536 x 1 x 1"},
    {push_constants, "bytes 0 to 132 of push constants"},
    {five_buffers, "with 5 storage buffers"},
    {long_range, "134217984 bytes are bound"},
    {odd_offset, "is bound at 64; the alignment is 256"},
    {beyond_the_end, "bytes 3840 to 4352 of a buffer of 4096"},
    {workgroup, "a workgroup has 129 invocations"},
    {shared_memory, "a workgroup shares "},
    {int64, "a shader needs shaderInt64"},
    {half, "a shader needs shaderFloat16"},
    {feature, "created with feature 0"},
    {later_structure, "it came with Vulkan 1.2 and VK_KHR_driver_properties"},
    {timestamp, "a timestamp is written"},
    {hidden_memory, "memory of type 0 is mapped"},
    {odd_flush, "bytes 64 to 320 of mapped memory"},
    {type_beyond, "memory of type 2 is allocated"},
    {large_piece, "1074790400 bytes are allocated in one piece"},
    {odd_binding, "a buffer of 256 bytes is bound at 64 of 8192"},
};

static void open_all(void) {
    dvk_error error;
    if (dvk_context_create(&(dvk_context_params){.device = getenv("DVK_TEST_DEVICE")}, &context, &error) != DVK_OK)
        SKIP("%s", error.message);
    vk = &context->vk;
    REQUIRE(dvk_commands_begin(context, 0, &commands, NULL) == DVK_OK);
}

static void check_case(size_t index) {
    int ends[2], status = 0;
    char text[1024];
    size_t length = 0;
    REQUIRE(pipe(ends) == 0);
    fflush(stdout);
    const pid_t child = fork();
    REQUIRE(child >= 0);
    if (!child) {
        dup2(ends[1], STDERR_FILENO);
        open_all();
        cases[index].breaks();
        _exit(0);
    }
    close(ends[1]);
    for (ssize_t got = 1; got > 0 && length<sizeof(text) - 1; length += got> 0 ? (size_t)got : 0)
        got = read(ends[0], text + length, sizeof(text) - 1 - length);
    text[length] = '\0';
    close(ends[0]);
    REQUIRE(waitpid(child, &status, 0) == child);
    CHECK_MESSAGE(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT, "\"%s\": the process went on",
                  cases[index].sentence);
    CHECK_MESSAGE(strstr(text, cases[index].sentence), "\"%s\": it said \"%s\"", cases[index].sentence, text);
}

/* ------------------------------------------------------------------------------------------------- what is played */

/* Full heaps, and caches: neither is a broken promise, both must be as real as on a device. */
static void check_full_heap(void) {
    enum { MANY = 64 };
    VkDeviceMemory pieces[MANY];
    VkResult result = VK_SUCCESS;
    uint32_t count = 0;
    while (count < MANY && (result = allocate(0, (VkDeviceSize)100 << 20, &pieces[count])) == VK_SUCCESS)
        count++;
    CHECK_MESSAGE(count == 10 && result == VK_ERROR_OUT_OF_DEVICE_MEMORY, "%u pieces of 100 MiB in a heap of 1 GiB",
                  count);
    while (count)
        vk->vkFreeMemory(context->device, pieces[--count], NULL);
}

int main(void) {
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        check_case(i);
    open_all();
    check_full_heap();
    vk->vkFreeCommandBuffers(context->device, context->command_pool, 1, &commands);
    dvk_context_destroy(&context);
    return FINISH();
}
