"""Reads what compile.py checks out of a SPIR-V module: capabilities, bindings, specialisation constants and the bytes of
shared memory that they lead to. Numbers are from the SPIR-V specification 1.3, chapter 3."""
import struct

MAGIC = 0x07230203
STORAGE_CLASS_UNIFORM_CONSTANT, STORAGE_CLASS_WORKGROUP, STORAGE_CLASS_STORAGE_BUFFER = 0, 4, 12
DECORATION_SPEC_ID = 1
DECORATION_BINDING = 33

OP_NAME = 5
OP_CAPABILITY = 17
OP_TYPE_INT, OP_TYPE_FLOAT, OP_TYPE_VECTOR, OP_TYPE_ARRAY, OP_TYPE_POINTER = 21, 22, 23, 28, 32
OP_TYPE_IMAGE = 25
OP_CONSTANT, OP_SPEC_CONSTANT, OP_SPEC_CONSTANT_COMPOSITE, OP_SPEC_CONSTANT_OP = 43, 50, 51, 52
OP_CONSTANT_COMPOSITE = 44
OP_VARIABLE = 59
OP_DECORATE = 71

CAPABILITIES = {
    1: "Shader",
    61: "GroupNonUniform",
    64: "GroupNonUniformBallot",
    4433: "StorageBuffer16BitAccess",
    9: "Float16",
    11: "Int64",
    5345: "VulkanMemoryModel",
    6016: "DotProductInput4x8BitAll",
    6017: "DotProductInput4x8Bit",
    6018: "DotProductInput4x8BitPacked",
    6019: "DotProduct",
    6022: "CooperativeMatrixKHR",
    5430: "CooperativeMatrixReductionsNV",
    5431: "CooperativeMatrixConversionsNV",
    5432: "CooperativeMatrixPerElementOperationsNV",
    5433: "CooperativeMatrixTensorAddressingNV",
    5434: "CooperativeMatrixBlockLoadsNV",
    5439: "TensorAddressingNV",
}

# The arithmetic that array lengths use: opcode -> function of the operands.
ARITHMETIC = {
    128: lambda a, b: a + b,  # OpIAdd
    130: lambda a, b: a - b,  # OpISub
    132: lambda a, b: a * b,  # OpIMul
    134: lambda a, b: a // b,  # OpUDiv
    137: lambda a, b: a % b,  # OpUMod
}
OP_COMPOSITE_EXTRACT = 81


def text(words):
    return struct.pack(f"<{len(words)}I", *words).split(b"\0")[0].decode()


class Module:
    def __init__(self, code):
        words = struct.unpack(f"<{len(code) // 4}I", code)
        if words[0] != MAGIC:
            raise ValueError("not SPIR-V")
        self.capabilities = []
        self.bindings = {}  # number -> "buffer", "texture" (sampled image) or "image" (storage image)
        self.constants = {}  # name -> specialisation id
        self._names, self._spec_ids, self._definitions, self._variables = {}, {}, {}, []
        self._numbers, self._resources = {}, {}  # of variables: binding, (storage class, type)
        position = 5
        while position < len(words):
            length, opcode = words[position] >> 16, words[position] & 0xFFFF
            self._read(opcode, words[position + 1 : position + length])
            position += length
        for target, number in self._numbers.items():
            self.bindings[number] = self._kind(*self._resources[target])
        for target, spec_id in self._spec_ids.items():
            if target in self._names:
                self.constants[self._names[target]] = spec_id

    def _read(self, opcode, words):
        if opcode == OP_CAPABILITY:
            self.capabilities.append(CAPABILITIES.get(words[0], f"capability {words[0]}"))
        elif opcode == OP_NAME:
            self._names[words[0]] = text(words[1:])
        elif opcode == OP_DECORATE and words[1] == DECORATION_SPEC_ID:
            self._spec_ids[words[0]] = words[2]
        elif opcode == OP_DECORATE and words[1] == DECORATION_BINDING:
            self._numbers[words[0]] = words[2]
        elif opcode in (OP_TYPE_INT, OP_TYPE_FLOAT, OP_TYPE_VECTOR, OP_TYPE_ARRAY, OP_TYPE_POINTER, OP_TYPE_IMAGE):
            self._definitions[words[0]] = (opcode, words[1:])
        elif opcode in (OP_CONSTANT, OP_SPEC_CONSTANT, OP_CONSTANT_COMPOSITE, OP_SPEC_CONSTANT_COMPOSITE,
                        OP_SPEC_CONSTANT_OP):
            self._definitions[words[1]] = (opcode, words[2:])
        elif opcode == OP_VARIABLE and words[2] == STORAGE_CLASS_WORKGROUP:
            self._variables.append(words[0])
        elif opcode == OP_VARIABLE:
            self._resources[words[1]] = (words[2], words[0])

    def _kind(self, storage_class, pointer):
        if storage_class == STORAGE_CLASS_STORAGE_BUFFER:
            return "buffer"
        opcode, words = self._definitions[self._definitions[pointer][1][1]]
        if storage_class != STORAGE_CLASS_UNIFORM_CONSTANT or opcode != OP_TYPE_IMAGE:
            raise ValueError("a binding that is neither a storage buffer nor an image")
        return "texture" if words[5] == 1 else "image"  # OpTypeImage's "Sampled"

    def _value(self, target, specialised):
        opcode, words = self._definitions[target]
        if opcode == OP_CONSTANT:
            return words[0]
        if opcode == OP_SPEC_CONSTANT:
            return specialised.get(self._spec_ids.get(target), words[0])
        if opcode in (OP_CONSTANT_COMPOSITE, OP_SPEC_CONSTANT_COMPOSITE):
            return [self._value(word, specialised) for word in words]
        if words[0] == OP_COMPOSITE_EXTRACT:
            return self._value(words[1], specialised)[words[2]]
        return ARITHMETIC[words[0]](*(self._value(word, specialised) for word in words[1:]))

    def _size(self, target, specialised):
        opcode, words = self._definitions[target]
        if opcode in (OP_TYPE_INT, OP_TYPE_FLOAT):
            return words[0] // 8
        if opcode == OP_TYPE_VECTOR:
            return self._size(words[0], specialised) * words[1]
        if opcode == OP_TYPE_ARRAY:
            return self._size(words[0], specialised) * self._value(words[1], specialised)
        return self._size(words[1], specialised)  # a pointer: what it points to

    def shared_bytes(self, specialised):
        """Bytes of shared memory when the constants have the values of `specialised`, {id: value}."""
        return sum(self._size(variable, specialised) for variable in self._variables)
