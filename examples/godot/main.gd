extends Control
## A small scene in a viewport of its own, and what a model attends to in it: `godot --path . -- MODEL_DIR [OUT_DIR [MAPS]]`.
## With OUT_DIR it saves, for MAPS maps, each with the picture that the model saw, then a screenshot, and ends.

const PICTURE := Vector2i(256, 144)

var attention := DinoAttention.new()
var balls: Array[MeshInstance3D] = []
var out := ""
var wanted := 3
var saved := 0
var time := 0.0

func _ready() -> void:
	var arguments := OS.get_cmdline_user_args()
	if arguments.is_empty():
		push_error("usage: godot --path . -- MODEL_DIR [OUT_DIR [MAPS]]")
		get_tree().quit(1)
		return
	var viewport := _make_scene()
	_show(viewport.get_texture(), Color.WHITE)
	attention.source = viewport.get_texture()
	attention.model = arguments[0]
	attention.columns = 10
	attention.rows = 6
	attention.updated.connect(_on_updated)
	add_child(attention)
	var overlay := _show(attention.map, Color(1, 0.45, 0.05))
	overlay.material = CanvasItemMaterial.new()
	overlay.material.blend_mode = CanvasItemMaterial.BLEND_MODE_ADD
	out = arguments[1] if arguments.size() > 1 else ""
	wanted = int(arguments[2]) if arguments.size() > 2 else wanted

func _make_scene() -> SubViewport:
	var viewport := SubViewport.new()
	viewport.size = PICTURE
	viewport.render_target_update_mode = SubViewport.UPDATE_ALWAYS
	add_child(viewport)
	var camera := Camera3D.new()
	camera.position = Vector3(0, 1.6, 4)
	camera.rotation_degrees.x = -14
	viewport.add_child(camera)
	var light := DirectionalLight3D.new()
	light.rotation_degrees = Vector3(-50, -40, 0)
	viewport.add_child(light)
	var ground := MeshInstance3D.new()
	ground.mesh = PlaneMesh.new()
	ground.mesh.size = Vector2(20, 20)
	ground.position.y = -0.5
	ground.material_override = _material(Color(0.35, 0.42, 0.3))
	viewport.add_child(ground)
	for colour: Color in [Color(0.85, 0.15, 0.1), Color(0.9, 0.7, 0.1), Color(0.15, 0.35, 0.9)]:
		var ball := MeshInstance3D.new()
		ball.mesh = SphereMesh.new()
		ball.material_override = _material(colour)
		viewport.add_child(ball)
		balls.append(ball)
	return viewport

func _material(colour: Color) -> StandardMaterial3D:
	var material := StandardMaterial3D.new()
	material.albedo_color = colour
	return material

func _show(texture: Texture2D, colour: Color) -> TextureRect:
	var rect := TextureRect.new()
	rect.texture = texture
	rect.modulate = colour
	rect.stretch_mode = TextureRect.STRETCH_SCALE
	rect.expand_mode = TextureRect.EXPAND_IGNORE_SIZE
	rect.size = Vector2(get_window().size)
	add_child(rect)
	return rect

func _process(delta: float) -> void:
	time += delta
	for i in balls.size():
		var angle := time * (0.6 + 0.2 * i) + 2.1 * i
		balls[i].position = Vector3(1.6 * cos(angle), 0, 1.2 * sin(angle))
	if attention.error != "":
		print("failed: " + attention.error)
		get_tree().quit(1)

# On the render thread, before the picture is replaced.
func _on_updated() -> void:
	if out == "" or saved >= wanted:
		return
	var device := RenderingServer.get_rendering_device()
	_save_pnm("%s/seen-%03d.ppm" % [out, saved], device.texture_get_data(attention.picture, 0), PICTURE, 3)
	_save_pnm("%s/map-%03d.pgm" % [out, saved], device.texture_get_data(attention.found, 0),
			Vector2i(attention.columns, attention.rows), 1)
	print("map %d: %d features" % [saved, attention.features.size()])
	saved += 1
	if saved == wanted:
		_finish.call_deferred()

func _finish() -> void:
	for i in 2: # until the last map is shown
		await RenderingServer.frame_post_draw
	get_viewport().get_texture().get_image().save_png(out + "/screenshot.png")
	get_tree().quit()

func _save_pnm(path: String, bytes: PackedByteArray, size: Vector2i, channels: int) -> void:
	var pixels := PackedByteArray()
	for i in size.x * size.y:
		pixels.append_array(bytes.slice(4 * i, 4 * i + channels))
	var file := FileAccess.open(path, FileAccess.WRITE)
	file.store_buffer(("P%d\n%d %d\n255\n" % [6 if channels == 3 else 5, size.x, size.y]).to_ascii_buffer())
	file.store_buffer(pixels)
