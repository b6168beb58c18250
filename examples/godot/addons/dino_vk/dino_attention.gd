class_name DinoAttention
extends Node
## Has a DINO model look at a texture, on Godot's own RenderingDevice: every few frames there are new features, and a new
## attention map in [member map], ready to draw. Nothing but the features passes through host memory.
##
## Needs the Forward+ or the Mobile renderer on Vulkan. While a pass is submitted, no other thread may use Godot's queue,
## so load large textures before, not in the background.

signal updated ## [member features] and [member map] are of a new picture

@export var source: Texture2D ## what to look at; a ViewportTexture, too
@export_global_dir var model := "" ## as the Hugging Face hub lays it out: config.json, model.safetensors, ...
@export var columns := 14 ## patches that the model sees; more are finer and slower
@export var rows := 14

var map := Texture2DRD.new() ## columns x rows texels, 0 where the model does not look, 1 where it looks most
var features := PackedFloat32Array() ## the CLS vector
var error := "" ## why nothing happens
var picture := RID() ## of the RenderingDevice: a copy of the source that stays while the model looks at it
var found := RID() ## of the RenderingDevice: what the model writes; always in the layout of storage images

enum { EMPTY, COPIED, BUSY }

var _dino: DinoVk
var _device: RenderingDevice
var _state := EMPTY
var _size := Vector2i.ZERO
var _texture := RID() # of the source, as it is in _set
var _shown := RID() # a copy of it that Godot draws from
var _sampler := RID()
var _shader := RID()
var _pipeline := RID()
var _set := RID()

# One invocation a pixel of the picture: the source into the picture, the model's map into the one that is shown.
const COPY := """#version 450
layout(local_size_x = 8, local_size_y = 8) in;
layout(set = 0, binding = 0) uniform sampler2D source;
layout(set = 0, binding = 1, rgba8) uniform restrict writeonly image2D picture;
layout(set = 0, binding = 2, rgba8) uniform restrict readonly image2D found;
layout(set = 0, binding = 3, rgba8) uniform restrict writeonly image2D shown;
void main() {
    const ivec2 at = ivec2(gl_GlobalInvocationID.xy);
    if (all(lessThan(at, imageSize(picture))))
        imageStore(picture, at, texelFetch(source, at, 0));
    if (all(lessThan(at, imageSize(shown))))
        imageStore(shown, at, imageLoad(found, at));
}
"""

func _process(_delta: float) -> void:
	if source and error == "":
		RenderingServer.call_on_render_thread(_step)

func _exit_tree() -> void:
	RenderingServer.call_on_render_thread(_close)

## One step a frame: Godot copies the source, and submits that at the end of the frame; in the next frame the model's
## pass follows on the same queue.
func _step() -> void:
	if not _dino or Vector2i(source.get_size()) != _size:
		error = _open()
		if error != "":
			push_error("DinoAttention: " + error)
			return
	if _state == BUSY:
		var busy := _dino.is_busy()
		if busy < 0:
			error = "the pass failed"
			push_error("DinoAttention: " + error)
		if busy != 0:
			return
		features = _dino.features()
		updated.emit()
		_state = EMPTY
	if _state == EMPTY:
		_copy()
		_state = COPIED
		return
	error = _dino.submit(_handle(RenderingDevice.DRIVER_RESOURCE_TEXTURE_VIEW, picture),
			_handle(RenderingDevice.DRIVER_RESOURCE_TEXTURE_VIEW, found),
			_handle(RenderingDevice.DRIVER_RESOURCE_TEXTURE, found))
	if error != "":
		push_error("DinoAttention: " + error)
	_state = BUSY

func _handle(resource: RenderingDevice.DriverResource, rid := RID()) -> int:
	return _device.get_driver_resource(resource, rid, 0)

func _open() -> String:
	_close()
	_device = RenderingServer.get_rendering_device()
	if not _device:
		return "there is no RenderingDevice: use the Forward+ or the Mobile renderer, and a display"
	_dino = DinoVk.new()
	var failure := _dino.import_device(_handle(RenderingDevice.DRIVER_RESOURCE_TOPMOST_OBJECT),
			_handle(RenderingDevice.DRIVER_RESOURCE_PHYSICAL_DEVICE), _handle(RenderingDevice.DRIVER_RESOURCE_LOGICAL_DEVICE),
			_handle(RenderingDevice.DRIVER_RESOURCE_COMMAND_QUEUE), _handle(RenderingDevice.DRIVER_RESOURCE_QUEUE_FAMILY))
	if failure == "":
		failure = _dino.load_model(model)
	_size = Vector2i(source.get_size())
	if failure == "":
		failure = _dino.open_session(_size.x, _size.y, columns, rows)
	if failure == "":
		_open_textures()
	return failure

func _open_textures() -> void:
	picture = _create(_size)
	found = _create(Vector2i(columns, rows))
	_shown = _create(Vector2i(columns, rows))
	map.texture_rd_rid = _shown
	_sampler = _device.sampler_create(RDSamplerState.new())
	var code := RDShaderSource.new()
	code.source_compute = COPY
	_shader = _device.shader_create_from_spirv(_device.shader_compile_spirv_from_source(code))
	_pipeline = _device.compute_pipeline_create(_shader)

func _create(size: Vector2i) -> RID:
	var format := RDTextureFormat.new()
	format.format = RenderingDevice.DATA_FORMAT_R8G8B8A8_UNORM
	format.width = size.x
	format.height = size.y
	format.usage_bits = (RenderingDevice.TEXTURE_USAGE_STORAGE_BIT | RenderingDevice.TEXTURE_USAGE_SAMPLING_BIT
			| RenderingDevice.TEXTURE_USAGE_CAN_COPY_FROM_BIT | RenderingDevice.TEXTURE_USAGE_CAN_COPY_TO_BIT)
	var texture := _device.texture_create(format, RDTextureView.new())
	_device.texture_clear(texture, Color.BLACK, 0, 1, 0, 1)
	return texture

func _uniform(type: RenderingDevice.UniformType, binding: int, ids: Array[RID]) -> RDUniform:
	var uniform := RDUniform.new()
	uniform.uniform_type = type
	uniform.binding = binding
	for id in ids:
		uniform.add_id(id)
	return uniform

func _copy() -> void:
	var texture := RenderingServer.texture_get_rd_texture(source.get_rid())
	if texture != _texture or not _device.uniform_set_is_valid(_set):
		_texture = texture
		_set = _device.uniform_set_create([
			_uniform(RenderingDevice.UNIFORM_TYPE_SAMPLER_WITH_TEXTURE, 0, [_sampler, texture]),
			_uniform(RenderingDevice.UNIFORM_TYPE_IMAGE, 1, [picture]),
			_uniform(RenderingDevice.UNIFORM_TYPE_IMAGE, 2, [found]),
			_uniform(RenderingDevice.UNIFORM_TYPE_IMAGE, 3, [_shown])], _shader, 0)
	var list := _device.compute_list_begin()
	_device.compute_list_bind_compute_pipeline(list, _pipeline)
	_device.compute_list_bind_uniform_set(list, _set, 0)
	var groups := (_size.max(Vector2i(columns, rows)) + Vector2i(7, 7)) / 8
	_device.compute_list_dispatch(list, groups.x, groups.y, 1)
	_device.compute_list_end()

func _close() -> void:
	_dino = null # waits for the pass under way
	map.texture_rd_rid = RID()
	for id: RID in [_pipeline, _shader, _sampler, picture, found, _shown]: # what depends on them goes with them
		if id.is_valid():
			_device.free_rid(id)
	_texture = RID()
	_pipeline = RID()
	_shader = RID()
	_sampler = RID()
	picture = RID()
	found = RID()
	_shown = RID()
	_set = RID()
	_state = EMPTY
