/* Block power iteration with Rayleigh-Ritz on the covariance matrix (Golub and Van Loan, "Matrix Computations", 8.2.4;
 * Parlett, "The Symmetric Eigenvalue Problem", 14). A block wider than what is wanted converges with the ratio of the
 * first eigenvalue outside the block to the last one wanted, so that close pairs inside cost nothing. */
#include "principal_components.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK (2 * PRINCIPAL_MAX)
#define MAX_ITERATIONS 2000
/* Residual of an eigenvector against the largest eigenvalue: its direction is then good to about 1e-9 over the relative
 * gap to its neighbours, far below the 1/255 of a colour. */
#define TOLERANCE 1e-10

/* Fixed numbers in -1..1 to start from: splitmix64. */
static double start_value(uint64_t index) {
    uint64_t z = (index + 1) * UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    z = z ^ (z >> 31);
    return (double)(z >> 11) * 0x1p-52 - 1.0;
}

/* Entries below the diagonal mirror those above. row: scratch of `size`. */
static void covariance(const float *rows, size_t count, size_t size, const double *mean, double *row, double *matrix) {
    memset(matrix, 0, size * size * sizeof(*matrix));
    for (size_t r = 0; r < count; r++) {
        for (size_t i = 0; i < size; i++)
            row[i] = (double)rows[r * size + i] - mean[i];
        for (size_t i = 0; i < size; i++) {
            double factor = row[i];
            double *line = matrix + i * size;
            for (size_t j = i; j < size; j++)
                line[j] += factor * row[j];
        }
    }
    for (size_t i = 0; i < size; i++) {
        for (size_t j = i; j < size; j++) {
            double value = matrix[i * size + j] / (double)count;
            matrix[i * size + j] = matrix[j * size + i] = value;
        }
    }
}

/* Vectors are the columns of a block [size][BLOCK], so that this streams through the matrix once. */
static void multiply(const double *matrix, size_t size, const double *block, double *product) {
    for (size_t i = 0; i < size; i++) {
        double sum[BLOCK] = {0};
        for (size_t j = 0; j < size; j++) {
            for (size_t k = 0; k < BLOCK; k++)
                sum[k] += matrix[i * size + j] * block[j * BLOCK + k];
        }
        memcpy(product + i * BLOCK, sum, sizeof(sum));
    }
}

static double column_dot(const double *a, size_t column_a, const double *b, size_t column_b, size_t size) {
    double sum = 0.0;
    for (size_t i = 0; i < size; i++)
        sum += a[i * BLOCK + column_a] * b[i * BLOCK + column_b];
    return sum;
}

/* Gram-Schmidt, each vector twice (Parlett, 6.9: "twice is enough"). A vector that vanishes, because the matrix has a
 * smaller rank than the block, becomes zero and stays so. */
static void orthonormalise(double *block, size_t size) {
    for (size_t k = 0; k < BLOCK; k++) {
        double before = sqrt(column_dot(block, k, block, k, size));
        for (int pass = 0; pass < 2; pass++) {
            for (size_t l = 0; l < k; l++) {
                double dot = column_dot(block, k, block, l, size);
                for (size_t i = 0; i < size; i++)
                    block[i * BLOCK + k] -= dot * block[i * BLOCK + l];
            }
        }
        double after = sqrt(column_dot(block, k, block, k, size));
        double scale = after > 1e-12 * before && after > 0.0 ? 1.0 / after : 0.0;
        for (size_t i = 0; i < size; i++)
            block[i * BLOCK + k] *= scale;
    }
}

/* Cyclic Jacobi on a small symmetric matrix: values on its diagonal at the end, vectors in the columns of `vectors`. */
static void jacobi(double matrix[BLOCK][BLOCK], double vectors[BLOCK][BLOCK]) {
    for (size_t i = 0; i < BLOCK; i++) {
        for (size_t j = 0; j < BLOCK; j++)
            vectors[i][j] = i == j;
    }
    for (int sweep = 0; sweep < 30; sweep++) {
        for (size_t p = 0; p < BLOCK; p++) {
            for (size_t q = p + 1; q < BLOCK; q++) {
                if (matrix[p][q] == 0.0)
                    continue;
                double theta = (matrix[q][q] - matrix[p][p]) / (2.0 * matrix[p][q]);
                double t = (theta >= 0.0 ? 1.0 : -1.0) / (fabs(theta) + sqrt(theta * theta + 1.0));
                double c = 1.0 / sqrt(t * t + 1.0), s = t * c;
                for (size_t i = 0; i < BLOCK; i++) {
                    double a = matrix[i][p], b = matrix[i][q];
                    matrix[i][p] = c * a - s * b;
                    matrix[i][q] = s * a + c * b;
                }
                for (size_t i = 0; i < BLOCK; i++) {
                    double a = matrix[p][i], b = matrix[q][i];
                    matrix[p][i] = c * a - s * b;
                    matrix[q][i] = s * a + c * b;
                    a = vectors[i][p], b = vectors[i][q];
                    vectors[i][p] = c * a - s * b;
                    vectors[i][q] = s * a + c * b;
                }
            }
        }
    }
}

/* block <- block * vectors with the columns ordered by falling value. */
static void rotate(double *block, size_t size, double vectors[BLOCK][BLOCK], const size_t order[BLOCK]) {
    for (size_t i = 0; i < size; i++) {
        double rotated[BLOCK] = {0};
        for (size_t k = 0; k < BLOCK; k++) {
            for (size_t l = 0; l < BLOCK; l++)
                rotated[k] += block[i * BLOCK + l] * vectors[l][order[k]];
        }
        memcpy(block + i * BLOCK, rotated, sizeof(rotated));
    }
}

/* block: in, anything; out, the eigenvectors of the largest eigenvalues in its first columns. */
static void iterate(const double *matrix, size_t size, size_t wanted, double *block, double *product) {
    orthonormalise(block, size);
    for (int iteration = 0; iteration < MAX_ITERATIONS; iteration++) {
        multiply(matrix, size, block, product);
        double small[BLOCK][BLOCK], vectors[BLOCK][BLOCK];
        for (size_t k = 0; k < BLOCK; k++) {
            for (size_t l = k; l < BLOCK; l++)
                small[k][l] = small[l][k] = column_dot(block, k, product, l, size);
        }
        jacobi(small, vectors);
        size_t order[BLOCK];
        for (size_t k = 0; k < BLOCK; k++) {
            size_t at = k;
            for (; at > 0 && small[order[at - 1]][order[at - 1]] < small[k][k]; at--)
                order[at] = order[at - 1];
            order[at] = k;
        }
        rotate(block, size, vectors, order);
        rotate(product, size, vectors, order);
        double largest = small[order[0]][order[0]];
        double residual = 0.0;
        for (size_t k = 0; k < wanted; k++) {
            double sum = 0.0;
            for (size_t i = 0; i < size; i++) {
                double difference = product[i * BLOCK + k] - small[order[k]][order[k]] * block[i * BLOCK + k];
                sum += difference * difference;
            }
            residual = fmax(residual, sqrt(sum));
        }
        if (!(residual > TOLERANCE * largest))
            return;
        memcpy(block, product, size * BLOCK * sizeof(*block));
        orthonormalise(block, size);
    }
}

static void fix_sign(double *block, size_t size, size_t column) {
    double largest = 0.0;
    for (size_t i = 0; i < size; i++) {
        double value = block[i * BLOCK + column];
        if (fabs(value) > fabs(largest))
            largest = value;
    }
    for (size_t i = 0; i < size && largest < 0.0; i++)
        block[i * BLOCK + column] = -block[i * BLOCK + column];
}

/* A spread that the rounding of the float32 rows alone could make means nothing: scale it up, and it is noise. */
static void drop_noise(const float *rows, size_t count, size_t size, size_t wanted, double *scores) {
    double total = 0.0;
    for (size_t i = 0; i < count * size; i++)
        total += (double)rows[i] * (double)rows[i];
    for (size_t k = 0; k < wanted; k++) {
        double spread = 0.0;
        for (size_t r = 0; r < count; r++)
            spread += scores[r * wanted + k] * scores[r * wanted + k];
        for (size_t r = 0; r < count && !(spread > 0x1p-46 * total); r++)
            scores[r * wanted + k] = 0.0;
    }
}

bool principal_components(const float *rows, size_t count, size_t size, size_t wanted, double *scores) {
    double *mean = calloc(size, sizeof(*mean));
    double *row = calloc(size, sizeof(*row));
    double *matrix = calloc(size * size, sizeof(*matrix));
    double *block = calloc(size * BLOCK, sizeof(*block));
    double *product = calloc(size * BLOCK, sizeof(*product));
    bool good = mean && row && matrix && block && product;
    if (good) {
        for (size_t r = 0; r < count; r++) {
            for (size_t i = 0; i < size; i++)
                mean[i] += (double)rows[r * size + i] / (double)count;
        }
        covariance(rows, count, size, mean, row, matrix);
        for (size_t i = 0; i < size * BLOCK; i++)
            block[i] = start_value(i);
        iterate(matrix, size, wanted, block, product);
        for (size_t k = 0; k < wanted; k++)
            fix_sign(block, size, k);
        for (size_t r = 0; r < count; r++) {
            for (size_t k = 0; k < wanted; k++) {
                double sum = 0.0;
                for (size_t i = 0; i < size; i++)
                    sum += ((double)rows[r * size + i] - mean[i]) * block[i * BLOCK + k];
                scores[r * wanted + k] = sum;
            }
        }
        drop_noise(rows, count, size, wanted, scores);
    }
    free(mean);
    free(row);
    free(matrix);
    free(block);
    free(product);
    return good;
}
