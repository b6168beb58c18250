#include "renderer.h"

#include "overlay.frag.h"
#include "scene.frag.h"
#include "screen.vert.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void must(VkResult result, const char *call) {
    if (result == VK_SUCCESS)
        return;
    if (result == VK_ERROR_INCOMPATIBLE_DRIVER) {
        printf("skipped: no Vulkan driver\n");
        exit(77); /* which test suites take for skipped */
    }
    fprintf(stderr, "%s: VkResult %d\n", call, (int)result);
    exit(1);
}

#define VK(call) must((call), #call)

/* ---------------------------------------------------------------------------------------------------- device */

static void open_device(renderer *r) {
    r->api_version = VK_API_VERSION_1_2;
    VkApplicationInfo application = {.sType = VK_STRUCTURE_TYPE_APPLICATION_INFO, .apiVersion = r->api_version};
    VkInstanceCreateInfo instance = {.sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO, .pApplicationInfo = &application};
    VK(vkCreateInstance(&instance, NULL, &r->instance));
    uint32_t count = 1;
    VkResult result = vkEnumeratePhysicalDevices(r->instance, &count, &r->physical_device);
    if (result != VK_INCOMPLETE) /* that there are others is no failure */
        must(count == 1 ? result : VK_ERROR_INCOMPATIBLE_DRIVER, "vkEnumeratePhysicalDevices");

    /* One queue of a family that draws; every such family computes and copies, too, or another one does. */
    const VkQueueFlags needed = VK_QUEUE_GRAPHICS_BIT | VK_QUEUE_COMPUTE_BIT;
    VkQueueFamilyProperties families[16];
    count = 16;
    vkGetPhysicalDeviceQueueFamilyProperties(r->physical_device, &count, families);
    while (r->queue_family < count && (families[r->queue_family].queueFlags & needed) != needed)
        r->queue_family++;
    must(r->queue_family < count ? VK_SUCCESS : VK_ERROR_FEATURE_NOT_PRESENT, "a queue for graphics and compute");
    const float priority = 1;
    VkDeviceQueueCreateInfo queue = {.sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO,
                                     .queueFamilyIndex = r->queue_family,
                                     .queueCount = 1,
                                     .pQueuePriorities = &priority};
    VkDeviceCreateInfo device = {
        .sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO, .queueCreateInfoCount = 1, .pQueueCreateInfos = &queue};
    VK(vkCreateDevice(r->physical_device, &device, NULL, &r->device));
    vkGetDeviceQueue(r->device, r->queue_family, 0, &r->queue);

    VkCommandPoolCreateInfo pool = {.sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO,
                                    .flags = VK_COMMAND_POOL_CREATE_RESET_COMMAND_BUFFER_BIT,
                                    .queueFamilyIndex = r->queue_family};
    VK(vkCreateCommandPool(r->device, &pool, NULL, &r->command_pool));
    VkCommandBufferAllocateInfo commands = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
                                            .commandPool = r->command_pool,
                                            .level = VK_COMMAND_BUFFER_LEVEL_PRIMARY,
                                            .commandBufferCount = 1};
    VK(vkAllocateCommandBuffers(r->device, &commands, &r->commands));
    VkFenceCreateInfo fence = {.sType = VK_STRUCTURE_TYPE_FENCE_CREATE_INFO};
    VK(vkCreateFence(r->device, &fence, NULL, &r->fence));
    VkPhysicalDeviceProperties properties;
    vkGetPhysicalDeviceProperties(r->physical_device, &properties);
    r->ns_per_stamp = (double)properties.limits.timestampPeriod;
    const VkQueryPoolCreateInfo stamps = {
        .sType = VK_STRUCTURE_TYPE_QUERY_POOL_CREATE_INFO, .queryType = VK_QUERY_TYPE_TIMESTAMP, .queryCount = 2};
    if (families[r->queue_family].timestampValidBits)
        VK(vkCreateQueryPool(r->device, &stamps, NULL, &r->stamps));
}

static VkDeviceMemory allocate(renderer *r, VkMemoryRequirements needs, VkMemoryPropertyFlags properties) {
    VkPhysicalDeviceMemoryProperties types;
    vkGetPhysicalDeviceMemoryProperties(r->physical_device, &types);
    uint32_t type = 0;
    while (type < types.memoryTypeCount &&
           !((needs.memoryTypeBits >> type & 1) && (types.memoryTypes[type].propertyFlags & properties) == properties))
        type++;
    must(type < types.memoryTypeCount ? VK_SUCCESS : VK_ERROR_OUT_OF_DEVICE_MEMORY, "a memory type");
    VkMemoryAllocateInfo info = {
        .sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO, .allocationSize = needs.size, .memoryTypeIndex = type};
    VkDeviceMemory memory;
    VK(vkAllocateMemory(r->device, &info, NULL, &memory));
    return memory;
}

static void begin(renderer *r) {
    VkCommandBufferBeginInfo info = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO,
                                     .flags = VK_COMMAND_BUFFER_USAGE_ONE_TIME_SUBMIT_BIT};
    VK(vkBeginCommandBuffer(r->commands, &info));
}

static void submit_and_wait(renderer *r) {
    VK(vkEndCommandBuffer(r->commands));
    VkSubmitInfo submit = {
        .sType = VK_STRUCTURE_TYPE_SUBMIT_INFO, .commandBufferCount = 1, .pCommandBuffers = &r->commands};
    VK(vkQueueSubmit(r->queue, 1, &submit, r->fence));
    VK(vkWaitForFences(r->device, 1, &r->fence, VK_TRUE, UINT64_MAX));
    VK(vkResetFences(r->device, 1, &r->fence));
}

/* -------------------------------------------------------------------------------------------------- pictures */

static const VkImageSubresourceRange whole = {VK_IMAGE_ASPECT_COLOR_BIT, 0, 1, 0, 1};

/* To and from a transfer; everything else has the picture in SHADER_READ_ONLY_OPTIMAL. */
static void transition(VkCommandBuffer commands, const picture *p, VkImageLayout from, VkImageLayout to) {
    VkImageMemoryBarrier barrier = {.sType = VK_STRUCTURE_TYPE_IMAGE_MEMORY_BARRIER,
                                    .srcAccessMask = VK_ACCESS_MEMORY_WRITE_BIT,
                                    .dstAccessMask = VK_ACCESS_MEMORY_READ_BIT | VK_ACCESS_MEMORY_WRITE_BIT,
                                    .oldLayout = from,
                                    .newLayout = to,
                                    .srcQueueFamilyIndex = VK_QUEUE_FAMILY_IGNORED,
                                    .dstQueueFamilyIndex = VK_QUEUE_FAMILY_IGNORED,
                                    .image = p->image,
                                    .subresourceRange = whole};
    vkCmdPipelineBarrier(commands, VK_PIPELINE_STAGE_ALL_COMMANDS_BIT, VK_PIPELINE_STAGE_ALL_COMMANDS_BIT, 0, 0, NULL,
                         0, NULL, 1, &barrier);
}

picture picture_create(renderer *r, VkFormat format, VkImageUsageFlags usage, uint32_t width, uint32_t height) {
    picture p = {.format = format, .width = width, .height = height};
    VkImageCreateInfo info = {.sType = VK_STRUCTURE_TYPE_IMAGE_CREATE_INFO,
                              .imageType = VK_IMAGE_TYPE_2D,
                              .format = format,
                              .extent = {width, height, 1},
                              .mipLevels = 1,
                              .arrayLayers = 1,
                              .samples = VK_SAMPLE_COUNT_1_BIT,
                              .tiling = VK_IMAGE_TILING_OPTIMAL,
                              .usage = usage | VK_IMAGE_USAGE_SAMPLED_BIT | VK_IMAGE_USAGE_TRANSFER_SRC_BIT |
                                       VK_IMAGE_USAGE_TRANSFER_DST_BIT};
    VK(vkCreateImage(r->device, &info, NULL, &p.image));
    VkMemoryRequirements needs;
    vkGetImageMemoryRequirements(r->device, p.image, &needs);
    p.memory = allocate(r, needs, 0);
    VK(vkBindImageMemory(r->device, p.image, p.memory, 0));
    VkImageViewCreateInfo view = {.sType = VK_STRUCTURE_TYPE_IMAGE_VIEW_CREATE_INFO,
                                  .image = p.image,
                                  .viewType = VK_IMAGE_VIEW_TYPE_2D,
                                  .format = format,
                                  .subresourceRange = whole};
    VK(vkCreateImageView(r->device, &view, NULL, &p.view));
    const VkClearColorValue black = {.float32 = {0, 0, 0, 1}};
    begin(r);
    transition(r->commands, &p, VK_IMAGE_LAYOUT_UNDEFINED, VK_IMAGE_LAYOUT_TRANSFER_DST_OPTIMAL);
    vkCmdClearColorImage(r->commands, p.image, VK_IMAGE_LAYOUT_TRANSFER_DST_OPTIMAL, &black, 1, &whole);
    transition(r->commands, &p, VK_IMAGE_LAYOUT_TRANSFER_DST_OPTIMAL, VK_IMAGE_LAYOUT_SHADER_READ_ONLY_OPTIMAL);
    submit_and_wait(r);
    return p;
}

void picture_destroy(renderer *r, picture *p) {
    vkDestroyImageView(r->device, p->view, NULL);
    vkDestroyImage(r->device, p->image, NULL);
    vkFreeMemory(r->device, p->memory, NULL);
    *p = (picture){0};
}

void picture_copy(VkCommandBuffer commands, const picture *from, const picture *to) {
    const VkImageLayout rest = VK_IMAGE_LAYOUT_SHADER_READ_ONLY_OPTIMAL, source = VK_IMAGE_LAYOUT_TRANSFER_SRC_OPTIMAL,
                        destination = VK_IMAGE_LAYOUT_TRANSFER_DST_OPTIMAL;
    const VkImageSubresourceLayers layers = {VK_IMAGE_ASPECT_COLOR_BIT, 0, 0, 1};
    const VkImageCopy copy = {
        .srcSubresource = layers, .dstSubresource = layers, .extent = {from->width, from->height, 1}};
    transition(commands, from, rest, source);
    transition(commands, to, rest, destination);
    vkCmdCopyImage(commands, from->image, source, to->image, destination, 1, &copy);
    transition(commands, from, source, rest);
    transition(commands, to, destination, rest);
}

static void read_back(renderer *r, const picture *p) {
    const VkImageLayout rest = VK_IMAGE_LAYOUT_SHADER_READ_ONLY_OPTIMAL, source = VK_IMAGE_LAYOUT_TRANSFER_SRC_OPTIMAL;
    const VkBufferImageCopy copy = {.imageSubresource = {VK_IMAGE_ASPECT_COLOR_BIT, 0, 0, 1},
                                    .imageExtent = {p->width, p->height, 1}};
    const VkMemoryBarrier to_host = {.sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
                                     .srcAccessMask = VK_ACCESS_TRANSFER_WRITE_BIT,
                                     .dstAccessMask = VK_ACCESS_HOST_READ_BIT};
    begin(r);
    transition(r->commands, p, rest, source);
    vkCmdCopyImageToBuffer(r->commands, p->image, source, r->readback, 1, &copy);
    transition(r->commands, p, source, rest);
    vkCmdPipelineBarrier(r->commands, VK_PIPELINE_STAGE_TRANSFER_BIT, VK_PIPELINE_STAGE_HOST_BIT, 0, 1, &to_host, 0,
                         NULL, 0, NULL);
    submit_and_wait(r);
}

static void save(renderer *r, const picture *p, const char *path, char kind, int channels) {
    read_back(r, p);
    FILE *file = fopen(path, "wb");
    if (!file) {
        perror(path);
        exit(1);
    }
    fprintf(file, "P%c\n%u %u\n255\n", kind, p->width, p->height);
    for (size_t i = 0; i < (size_t)p->width * p->height; i++)
        fwrite(r->pixels + 4 * i, (size_t)channels, 1, file);
    if (ferror(file) | fclose(file)) {
        perror(path);
        exit(1);
    }
}

void picture_save_ppm(renderer *r, const picture *p, const char *path) {
    save(r, p, path, '6', 3);
}

void picture_save_pgm(renderer *r, const picture *p, const char *path) {
    save(r, p, path, '5', 1);
}

static void open_readback(renderer *r, VkDeviceSize size) {
    VkBufferCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO, .size = size, .usage = VK_BUFFER_USAGE_TRANSFER_DST_BIT};
    VkMemoryRequirements needs;
    void *mapped;
    VK(vkCreateBuffer(r->device, &info, NULL, &r->readback));
    vkGetBufferMemoryRequirements(r->device, r->readback, &needs);
    r->readback_memory = allocate(r, needs, VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT);
    VK(vkBindBufferMemory(r->device, r->readback, r->readback_memory, 0));
    VK(vkMapMemory(r->device, r->readback_memory, 0, VK_WHOLE_SIZE, 0, &mapped));
    r->pixels = mapped;
}

/* --------------------------------------------------------------------------------------------------- drawing */

/* Every texel is drawn, so nothing is loaded; before and after, shaders and transfers read the picture. */
static void create_render_pass(renderer *r) {
    const VkPipelineStageFlags readers = VK_PIPELINE_STAGE_FRAGMENT_SHADER_BIT | VK_PIPELINE_STAGE_TRANSFER_BIT;
    const VkPipelineStageFlags writer = VK_PIPELINE_STAGE_COLOR_ATTACHMENT_OUTPUT_BIT;
    const VkSubpassDependency dependencies[] = {
        {VK_SUBPASS_EXTERNAL, 0, readers, writer, 0, VK_ACCESS_COLOR_ATTACHMENT_WRITE_BIT, 0},
        {0, VK_SUBPASS_EXTERNAL, writer, readers, VK_ACCESS_COLOR_ATTACHMENT_WRITE_BIT,
         VK_ACCESS_SHADER_READ_BIT | VK_ACCESS_TRANSFER_READ_BIT, 0}};
    const VkAttachmentDescription attachment = {.format = r->scene.format,
                                                .samples = VK_SAMPLE_COUNT_1_BIT,
                                                .loadOp = VK_ATTACHMENT_LOAD_OP_DONT_CARE,
                                                .storeOp = VK_ATTACHMENT_STORE_OP_STORE,
                                                .stencilLoadOp = VK_ATTACHMENT_LOAD_OP_DONT_CARE,
                                                .stencilStoreOp = VK_ATTACHMENT_STORE_OP_DONT_CARE,
                                                .initialLayout = VK_IMAGE_LAYOUT_UNDEFINED,
                                                .finalLayout = VK_IMAGE_LAYOUT_SHADER_READ_ONLY_OPTIMAL};
    const VkAttachmentReference reference = {0, VK_IMAGE_LAYOUT_COLOR_ATTACHMENT_OPTIMAL};
    const VkSubpassDescription subpass = {.pipelineBindPoint = VK_PIPELINE_BIND_POINT_GRAPHICS,
                                          .colorAttachmentCount = 1,
                                          .pColorAttachments = &reference};
    VkRenderPassCreateInfo info = {.sType = VK_STRUCTURE_TYPE_RENDER_PASS_CREATE_INFO,
                                   .attachmentCount = 1,
                                   .pAttachments = &attachment,
                                   .subpassCount = 1,
                                   .pSubpasses = &subpass,
                                   .dependencyCount = 2,
                                   .pDependencies = dependencies};
    VK(vkCreateRenderPass(r->device, &info, NULL, &r->render_pass));
}

static VkFramebuffer create_framebuffer(renderer *r, const picture *p) {
    VkFramebufferCreateInfo info = {.sType = VK_STRUCTURE_TYPE_FRAMEBUFFER_CREATE_INFO,
                                    .renderPass = r->render_pass,
                                    .attachmentCount = 1,
                                    .pAttachments = &p->view,
                                    .width = p->width,
                                    .height = p->height,
                                    .layers = 1};
    VkFramebuffer framebuffer;
    VK(vkCreateFramebuffer(r->device, &info, NULL, &framebuffer));
    return framebuffer;
}

static void create_layouts(renderer *r) {
    const VkDescriptorSetLayoutBinding bindings[] = {
        {0, VK_DESCRIPTOR_TYPE_COMBINED_IMAGE_SAMPLER, 1, VK_SHADER_STAGE_FRAGMENT_BIT, NULL},
        {1, VK_DESCRIPTOR_TYPE_COMBINED_IMAGE_SAMPLER, 1, VK_SHADER_STAGE_FRAGMENT_BIT, NULL}};
    VkDescriptorSetLayoutCreateInfo set = {
        .sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_LAYOUT_CREATE_INFO, .bindingCount = 2, .pBindings = bindings};
    VK(vkCreateDescriptorSetLayout(r->device, &set, NULL, &r->set_layout));
    const VkPushConstantRange constants = {VK_SHADER_STAGE_FRAGMENT_BIT, 0, 2 * sizeof(float)};
    VkPipelineLayoutCreateInfo layout = {.sType = VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO,
                                         .setLayoutCount = 1,
                                         .pSetLayouts = &r->set_layout,
                                         .pushConstantRangeCount = 1,
                                         .pPushConstantRanges = &constants};
    VK(vkCreatePipelineLayout(r->device, &layout, NULL, &r->layout));
    const VkDescriptorPoolSize size = {VK_DESCRIPTOR_TYPE_COMBINED_IMAGE_SAMPLER, 2};
    VkDescriptorPoolCreateInfo pool = {
        .sType = VK_STRUCTURE_TYPE_DESCRIPTOR_POOL_CREATE_INFO, .maxSets = 1, .poolSizeCount = 1, .pPoolSizes = &size};
    VK(vkCreateDescriptorPool(r->device, &pool, NULL, &r->descriptor_pool));
    VkDescriptorSetAllocateInfo sets = {.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_ALLOCATE_INFO,
                                        .descriptorPool = r->descriptor_pool,
                                        .descriptorSetCount = 1,
                                        .pSetLayouts = &r->set_layout};
    VK(vkAllocateDescriptorSets(r->device, &sets, &r->overlay_set));
    VkSamplerCreateInfo sampler = {.sType = VK_STRUCTURE_TYPE_SAMPLER_CREATE_INFO,
                                   .magFilter = VK_FILTER_LINEAR,
                                   .minFilter = VK_FILTER_LINEAR,
                                   .addressModeU = VK_SAMPLER_ADDRESS_MODE_CLAMP_TO_EDGE,
                                   .addressModeV = VK_SAMPLER_ADDRESS_MODE_CLAMP_TO_EDGE,
                                   .addressModeW = VK_SAMPLER_ADDRESS_MODE_CLAMP_TO_EDGE};
    VK(vkCreateSampler(r->device, &sampler, NULL, &r->sampler));
}

static VkShaderModule create_module(renderer *r, const uint32_t *code, size_t size) {
    VkShaderModuleCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO, .codeSize = size, .pCode = code};
    VkShaderModule module;
    VK(vkCreateShaderModule(r->device, &info, NULL, &module));
    return module;
}

static VkPipeline create_pipeline(renderer *r, const uint32_t *fragment, size_t fragment_size) {
    VkPipelineShaderStageCreateInfo stages[] = {{.sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO,
                                                 .stage = VK_SHADER_STAGE_VERTEX_BIT,
                                                 .module = create_module(r, screen_vert, sizeof(screen_vert)),
                                                 .pName = "main"},
                                                {.sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO,
                                                 .stage = VK_SHADER_STAGE_FRAGMENT_BIT,
                                                 .module = create_module(r, fragment, fragment_size),
                                                 .pName = "main"}};
    const VkPipelineVertexInputStateCreateInfo vertices = {
        .sType = VK_STRUCTURE_TYPE_PIPELINE_VERTEX_INPUT_STATE_CREATE_INFO};
    const VkPipelineInputAssemblyStateCreateInfo assembly = {
        .sType = VK_STRUCTURE_TYPE_PIPELINE_INPUT_ASSEMBLY_STATE_CREATE_INFO,
        .topology = VK_PRIMITIVE_TOPOLOGY_TRIANGLE_LIST};
    const VkViewport viewport = {0, 0, (float)r->screen.width, (float)r->screen.height, 0, 1};
    const VkRect2D scissor = {{0, 0}, {r->screen.width, r->screen.height}};
    const VkPipelineViewportStateCreateInfo viewports = {.sType = VK_STRUCTURE_TYPE_PIPELINE_VIEWPORT_STATE_CREATE_INFO,
                                                         .viewportCount = 1,
                                                         .pViewports = &viewport,
                                                         .scissorCount = 1,
                                                         .pScissors = &scissor};
    const VkPipelineRasterizationStateCreateInfo raster = {
        .sType = VK_STRUCTURE_TYPE_PIPELINE_RASTERIZATION_STATE_CREATE_INFO, .lineWidth = 1};
    const VkPipelineMultisampleStateCreateInfo samples = {.sType =
                                                              VK_STRUCTURE_TYPE_PIPELINE_MULTISAMPLE_STATE_CREATE_INFO,
                                                          .rasterizationSamples = VK_SAMPLE_COUNT_1_BIT};
    const VkPipelineColorBlendAttachmentState opaque = {.colorWriteMask = 15};
    const VkPipelineColorBlendStateCreateInfo blend = {.sType =
                                                           VK_STRUCTURE_TYPE_PIPELINE_COLOR_BLEND_STATE_CREATE_INFO,
                                                       .attachmentCount = 1,
                                                       .pAttachments = &opaque};
    VkGraphicsPipelineCreateInfo info = {.sType = VK_STRUCTURE_TYPE_GRAPHICS_PIPELINE_CREATE_INFO,
                                         .stageCount = 2,
                                         .pStages = stages,
                                         .pVertexInputState = &vertices,
                                         .pInputAssemblyState = &assembly,
                                         .pViewportState = &viewports,
                                         .pRasterizationState = &raster,
                                         .pMultisampleState = &samples,
                                         .pColorBlendState = &blend,
                                         .layout = r->layout,
                                         .renderPass = r->render_pass};
    VkPipeline pipeline;
    VK(vkCreateGraphicsPipelines(r->device, VK_NULL_HANDLE, 1, &info, NULL, &pipeline));
    vkDestroyShaderModule(r->device, stages[0].module, NULL);
    vkDestroyShaderModule(r->device, stages[1].module, NULL);
    return pipeline;
}

void renderer_open(renderer *r, uint32_t width, uint32_t height) {
    memset(r, 0, sizeof(*r));
    open_device(r);
    open_readback(r, (VkDeviceSize)4 * width * height);
    r->scene = picture_create(r, VK_FORMAT_R8G8B8A8_SRGB, VK_IMAGE_USAGE_COLOR_ATTACHMENT_BIT, width, height);
    r->screen = picture_create(r, r->scene.format, VK_IMAGE_USAGE_COLOR_ATTACHMENT_BIT, width, height);
    create_render_pass(r);
    r->scene_frame = create_framebuffer(r, &r->scene);
    r->screen_frame = create_framebuffer(r, &r->screen);
    create_layouts(r);
    r->scene_pipeline = create_pipeline(r, scene_frag, sizeof(scene_frag));
    r->overlay_pipeline = create_pipeline(r, overlay_frag, sizeof(overlay_frag));
}

void renderer_close(renderer *r) {
    vkDestroyPipeline(r->device, r->overlay_pipeline, NULL);
    vkDestroyPipeline(r->device, r->scene_pipeline, NULL);
    vkDestroySampler(r->device, r->sampler, NULL);
    vkDestroyDescriptorPool(r->device, r->descriptor_pool, NULL);
    vkDestroyPipelineLayout(r->device, r->layout, NULL);
    vkDestroyDescriptorSetLayout(r->device, r->set_layout, NULL);
    vkDestroyFramebuffer(r->device, r->screen_frame, NULL);
    vkDestroyFramebuffer(r->device, r->scene_frame, NULL);
    vkDestroyRenderPass(r->device, r->render_pass, NULL);
    picture_destroy(r, &r->screen);
    picture_destroy(r, &r->scene);
    vkDestroyBuffer(r->device, r->readback, NULL);
    vkFreeMemory(r->device, r->readback_memory, NULL);
    vkDestroyQueryPool(r->device, r->stamps, NULL);
    vkDestroyFence(r->device, r->fence, NULL);
    vkDestroyCommandPool(r->device, r->command_pool, NULL);
    vkDestroyDevice(r->device, NULL);
    vkDestroyInstance(r->instance, NULL);
}

static void draw(renderer *r, VkFramebuffer framebuffer, VkPipeline pipeline, const float constants[2]) {
    VkRenderPassBeginInfo info = {.sType = VK_STRUCTURE_TYPE_RENDER_PASS_BEGIN_INFO,
                                  .renderPass = r->render_pass,
                                  .framebuffer = framebuffer,
                                  .renderArea = {{0, 0}, {r->screen.width, r->screen.height}}};
    vkCmdBeginRenderPass(r->commands, &info, VK_SUBPASS_CONTENTS_INLINE);
    vkCmdBindPipeline(r->commands, VK_PIPELINE_BIND_POINT_GRAPHICS, pipeline);
    vkCmdPushConstants(r->commands, r->layout, VK_SHADER_STAGE_FRAGMENT_BIT, 0, 2 * sizeof(float), constants);
    vkCmdDraw(r->commands, 3, 1, 0, 0);
    vkCmdEndRenderPass(r->commands);
}

VkCommandBuffer renderer_begin_frame(renderer *r, float seconds) {
    const float constants[] = {seconds, (float)r->scene.width / (float)r->scene.height};
    begin(r);
    draw(r, r->scene_frame, r->scene_pipeline, constants);
    return r->commands;
}

void renderer_stamp(renderer *r, uint32_t which) {
    if (!r->stamps)
        return;
    if (which == 0)
        vkCmdResetQueryPool(r->commands, r->stamps, 0, 2);
    vkCmdWriteTimestamp(r->commands, VK_PIPELINE_STAGE_BOTTOM_OF_PIPE_BIT, r->stamps, which);
}

uint32_t renderer_stamped_us(renderer *r) {
    uint64_t stamps[2];
    if (!r->stamps)
        return 0;
    VK(vkGetQueryPoolResults(r->device, r->stamps, 0, 2, sizeof(stamps), stamps, sizeof(*stamps),
                             VK_QUERY_RESULT_64_BIT));
    return (uint32_t)((double)(stamps[1] - stamps[0]) * r->ns_per_stamp * 1e-3);
}

void renderer_end_frame(renderer *r, const picture *map, float strength) {
    const VkImageLayout layout = VK_IMAGE_LAYOUT_SHADER_READ_ONLY_OPTIMAL;
    const VkDescriptorImageInfo images[] = {{r->sampler, r->scene.view, layout}, {r->sampler, map->view, layout}};
    VkWriteDescriptorSet write = {.sType = VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET,
                                  .dstSet = r->overlay_set,
                                  .descriptorCount = 2,
                                  .descriptorType = VK_DESCRIPTOR_TYPE_COMBINED_IMAGE_SAMPLER,
                                  .pImageInfo = images};
    vkUpdateDescriptorSets(r->device, 1, &write, 0, NULL);
    vkCmdBindDescriptorSets(r->commands, VK_PIPELINE_BIND_POINT_GRAPHICS, r->layout, 0, 1, &r->overlay_set, 0, NULL);
    const float constants[] = {strength, 0};
    draw(r, r->screen_frame, r->overlay_pipeline, constants);
    submit_and_wait(r);
}
