/* The numbers are those of the SPIR-V specification, 3.42 and 3.49 (unified, revision 1.6). */
#include "shader_needs.h"

#include <stdlib.h>
#include <string.h>

enum {
    MAGIC = 0x07230203,
    HEADER_WORDS = 5,
    MOST_IDS = 1 << 20,
    OP_EXECUTION_MODE = 16,
    OP_CAPABILITY = 17,
    OP_TYPE_BOOL = 20,
    OP_TYPE_INT = 21,
    OP_TYPE_FLOAT = 22,
    OP_TYPE_VECTOR = 23,
    OP_TYPE_ARRAY = 28,
    OP_TYPE_STRUCT = 30,
    OP_TYPE_POINTER = 32,
    OP_CONSTANT_TRUE = 41,
    OP_CONSTANT_FALSE = 42,
    OP_CONSTANT = 43,
    OP_CONSTANT_COMPOSITE = 44,
    OP_SPEC_CONSTANT_TRUE = 48,
    OP_SPEC_CONSTANT_FALSE = 49,
    OP_SPEC_CONSTANT = 50,
    OP_SPEC_CONSTANT_COMPOSITE = 51,
    OP_SPEC_CONSTANT_OP = 52,
    OP_VARIABLE = 59,
    OP_DECORATE = 71,
    OP_EXECUTION_MODE_ID = 331,
    DECORATION_SPEC_ID = 1,
    DECORATION_BUILT_IN = 11,
    BUILT_IN_WORKGROUP_SIZE = 25,
    MODE_LOCAL_SIZE = 17,
    MODE_LOCAL_SIZE_ID = 38,
    STORAGE_WORKGROUP = 4,
    NO_SPEC_ID = -1
};

/* What is known of a result id: of a type its size and alignment, of a constant its value. */
typedef struct id {
    uint32_t size, alignment, pointee;
    uint32_t value;
    int64_t spec_id;
    bool is_workgroup_size;
} id;

typedef struct spirv_reader {
    id *ids;
    uint32_t bound;
    const VkSpecializationInfo *info;
    shader_needs *needs;
} spirv_reader;

static id *at(const spirv_reader *reader, uint32_t index) {
    return &reader->ids[index < reader->bound ? index : 0];
}

static uint32_t specialised(const spirv_reader *reader, const id *constant, uint32_t otherwise) {
    const VkSpecializationInfo *info = reader->info;
    for (uint32_t i = 0; info && i < info->mapEntryCount; i++)
        if (info->pMapEntries[i].constantID == constant->spec_id && info->pMapEntries[i].size == sizeof(uint32_t))
            memcpy(&otherwise, (const char *)info->pData + info->pMapEntries[i].offset, sizeof(otherwise));
    return otherwise;
}

/* Those operations that sizes are computed with. */
static uint32_t compute(const spirv_reader *reader, const uint32_t *operands, uint32_t count) {
    const uint32_t a = count > 1 ? at(reader, operands[1])->value : 0,
                   b = count > 2 ? at(reader, operands[2])->value : 0;
    const uint32_t c = count > 3 ? at(reader, operands[3])->value : 0;
    switch (operands[0]) {
    case 128: /* OpIAdd */
        return a + b;
    case 130: /* OpISub */
        return a - b;
    case 132: /* OpIMul */
        return a * b;
    case 134: /* OpUDiv */
    case 135: /* OpSDiv */
        return b ? a / b : 0;
    case 137: /* OpUMod */
    case 139: /* OpSMod */
        return b ? a % b : 0;
    case 166: /* OpLogicalOr */
        return a || b;
    case 167: /* OpLogicalAnd */
        return a && b;
    case 168: /* OpLogicalNot */
        return !a;
    case 169: /* OpSelect */
        return a ? b : c;
    case 170: /* OpIEqual */
        return a == b;
    case 171: /* OpINotEqual */
        return a != b;
    case 172: /* OpUGreaterThan */
    case 173: /* OpSGreaterThan */
        return a > b;
    case 174: /* OpUGreaterThanEqual */
    case 175: /* OpSGreaterThanEqual */
        return a >= b;
    case 176: /* OpULessThan */
    case 177: /* OpSLessThan */
        return a < b;
    case 178: /* OpULessThanEqual */
    case 179: /* OpSLessThanEqual */
        return a <= b;
    case 194: /* OpShiftRightLogical */
    case 195: /* OpShiftRightArithmetic */
        return b < 32 ? a >> b : 0;
    case 196: /* OpShiftLeftLogical */
        return b < 32 ? a << b : 0;
    case 199: /* OpBitwiseAnd */
        return a & b;
    default:
        return 0;
    }
}

static void read_capability(uint32_t capability, shader_needs *needs) {
    switch (capability) {
    case 1:  /* Shader */
    case 0:  /* Matrix, which it implies */
    case 50: /* ImageQuery */
        break;
    case 9: /* Float16 */
        needs->fp16 = true;
        break;
    case 11: /* Int64 */
        needs->int64 = true;
        break;
    case 4433: /* StorageBuffer16BitAccess */
        needs->storage16 = true;
        break;
    case 5345: /* VulkanMemoryModel */
        needs->memory_model = true;
        break;
    case 6022: /* CooperativeMatrixKHR */
        needs->matrices = true;
        break;
    case 6016: /* DotProductInputAll */
    case 6017:
    case 6018:
    case 6019: /* DotProduct */
        needs->dot_product = true;
        break;
    case 61: /* GroupNonUniform */
        needs->subgroup_operations |= VK_SUBGROUP_FEATURE_BASIC_BIT;
        break;
    case 62: /* GroupNonUniformVote */
        needs->subgroup_operations |= VK_SUBGROUP_FEATURE_VOTE_BIT;
        break;
    case 63: /* GroupNonUniformArithmetic */
        needs->subgroup_operations |= VK_SUBGROUP_FEATURE_ARITHMETIC_BIT;
        break;
    case 64: /* GroupNonUniformBallot */
        needs->subgroup_operations |= VK_SUBGROUP_FEATURE_BALLOT_BIT;
        break;
    case 65: /* GroupNonUniformShuffle */
        needs->subgroup_operations |= VK_SUBGROUP_FEATURE_SHUFFLE_BIT;
        break;
    default:
        needs->unknown_capability = capability;
    }
}

static uint32_t round_up(uint32_t value, uint32_t multiple) {
    return multiple ? (value + multiple - 1) / multiple * multiple : value;
}

/* Sizes as in std430, as the specification counts for maxComputeSharedMemorySize. */
static void read_type(const spirv_reader *reader, uint32_t opcode, const uint32_t *words, uint32_t count) {
    id *type = at(reader, words[1]);
    const id *part = count > 2 ? at(reader, words[2]) : NULL;
    switch (opcode) {
    case OP_TYPE_BOOL:
        type->size = type->alignment = 4;
        break;
    case OP_TYPE_INT:
    case OP_TYPE_FLOAT:
        type->size = type->alignment = words[2] / 8;
        break;
    case OP_TYPE_VECTOR:
        type->size = part->size * words[3];
        type->alignment = part->size * (words[3] == 3 ? 4 : words[3]);
        break;
    case OP_TYPE_ARRAY:
        type->size = round_up(part->size, part->alignment) * at(reader, words[3])->value;
        type->alignment = part->alignment;
        break;
    case OP_TYPE_STRUCT:
        for (uint32_t i = 2; i < count; i++) {
            part = at(reader, words[i]);
            type->size = round_up(type->size, part->alignment) + part->size;
            type->alignment = part->alignment > type->alignment ? part->alignment : type->alignment;
        }
        type->size = round_up(type->size, type->alignment);
        break;
    case OP_TYPE_POINTER:
        type->pointee = words[3];
        break;
    default:
        break;
    }
}

static void note_local_size(const spirv_reader *reader, const uint32_t *parts, bool are_ids) {
    for (int i = 0; i < 3; i++)
        reader->needs->local_size[i] = are_ids ? at(reader, parts[i])->value : parts[i];
}

static void read_constant(const spirv_reader *reader, uint32_t opcode, const uint32_t *words, uint32_t count) {
    id *constant = at(reader, words[2]);
    switch (opcode) {
    case OP_CONSTANT_TRUE:
        constant->value = 1;
        break;
    case OP_SPEC_CONSTANT_TRUE:
    case OP_SPEC_CONSTANT_FALSE:
        constant->value = specialised(reader, constant, opcode == OP_SPEC_CONSTANT_TRUE);
        break;
    case OP_CONSTANT:
        constant->value = words[3];
        break;
    case OP_SPEC_CONSTANT:
        constant->value = specialised(reader, constant, words[3]);
        break;
    case OP_CONSTANT_COMPOSITE:
    case OP_SPEC_CONSTANT_COMPOSITE:
        if (constant->is_workgroup_size && count == 6) /* overrules the execution mode */
            note_local_size(reader, words + 3, true);
        break;
    case OP_SPEC_CONSTANT_OP:
        constant->value = compute(reader, words + 3, count - 3);
        break;
    default:
        break;
    }
}

static void read_instruction(const spirv_reader *reader, uint32_t opcode, const uint32_t *words, uint32_t count,
                             const uint32_t **mode_ids) {
    switch (opcode) {
    case OP_CAPABILITY:
        read_capability(words[1], reader->needs);
        break;
    case OP_EXECUTION_MODE:
        if (count == 6 && words[2] == MODE_LOCAL_SIZE)
            note_local_size(reader, words + 3, false);
        break;
    case OP_EXECUTION_MODE_ID: /* the constants follow */
        if (count == 6 && words[2] == MODE_LOCAL_SIZE_ID)
            *mode_ids = words + 3;
        break;
    case OP_DECORATE:
        if (count == 4 && words[2] == DECORATION_SPEC_ID)
            at(reader, words[1])->spec_id = words[3];
        if (count == 4 && words[2] == DECORATION_BUILT_IN && words[3] == BUILT_IN_WORKGROUP_SIZE)
            at(reader, words[1])->is_workgroup_size = true;
        break;
    case OP_VARIABLE:
        if (words[3] == STORAGE_WORKGROUP) {
            const id *type = at(reader, at(reader, words[1])->pointee);
            reader->needs->shared_bytes = round_up(reader->needs->shared_bytes, type->alignment) + type->size;
        }
        break;
    default:
        if (opcode >= OP_TYPE_BOOL && opcode <= OP_TYPE_POINTER && count > 1)
            read_type(reader, opcode, words, count);
        else if (opcode >= OP_CONSTANT_TRUE && opcode <= OP_SPEC_CONSTANT_OP && count > 2)
            read_constant(reader, opcode, words, count);
    }
}

bool shader_needs_read(const uint32_t *words, size_t count, const VkSpecializationInfo *info, shader_needs *needs) {
    *needs = (shader_needs){.local_size = {1, 1, 1}};
    if (count < HEADER_WORDS || words[0] != MAGIC || words[3] > MOST_IDS)
        return false;
    spirv_reader reader = {calloc(words[3] + 1, sizeof(id)), words[3], info, needs};
    const uint32_t *mode_ids = NULL;
    if (!reader.ids)
        return false;
    for (uint32_t i = 0; i < reader.bound; i++)
        reader.ids[i].spec_id = NO_SPEC_ID;
    size_t i = HEADER_WORDS;
    while (i < count) {
        const uint32_t length = words[i] >> 16;
        if (!length || length > count - i)
            break;
        read_instruction(&reader, words[i] & 0xffff, words + i, length, &mode_ids);
        i += length;
    }
    if (mode_ids)
        note_local_size(&reader, mode_ids, true);
    free(reader.ids);
    return i == count;
}
