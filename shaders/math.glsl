// exp, erf and tanh of our own: Vulkan allows a driver 3 + 2 |x| units in the last place for exp, has no erf, and
// llvmpipe of Mesa 22.3 is off by 4e-6 of the value. The coefficients are our own weighted least-squares (Lawson) fits
// at 60 digits.

// e^r for |r| <= ln 2 / 2: a polynomial of degree 6 (fit error 1.9e-9).
float exp_polynomial(float r) {
    float p = 1.38367028e-3;
    p = p * r + 8.37489814e-3;
    p = p * r + 4.16682325e-2;
    p = p * r + 1.66664192e-1;
    p = p * r + 4.99999920e-1;
    p = p * r + 1.0;
    return p * r + 1.0;
}

// e^x for x in [-87, 88], clamped there, to 2e-7 relative: x = n ln 2 + r, and 2^n is put into the exponent bits. ln 2
// comes in two pieces, the first of 16 bits, so that n times it is exact.
float exp_accurate(float x) {
    x = clamp(x, -87.0, 88.0);
    float n = floor(x * 1.44269504 + 0.5);
    float r = (x - n * 0.693145751953125) - n * 1.42860682e-6;
    return exp_polynomial(r) * uintBitsToFloat(uint(int(n) + 127) << 23);
}

// The error function to 2e-7 absolute: x P(x^2) / Q(x^2) on [-3.92, 3.92] (fit error 1.6e-8), beyond which erf differs
// from +-1 by less than 3e-8.
float erf(float x) {
    x = clamp(x, -3.92, 3.92);
    float y = x * x;
    float p = 2.03467467e-6;
    p = p * y + 2.87479988e-4;
    p = p * y + 3.86847532e-3;
    p = p * y + 5.30609554e-2;
    p = p * y + 1.92767878e-1;
    p = p * y + 1.12837902;
    float q = 3.80700368e-5;
    q = q * y + 1.18814531e-3;
    q = q * y + 1.51726044e-2;
    q = q * y + 1.15086167e-1;
    q = q * y + 5.04167750e-1;
    q = q * y + 1.0;
    return x * p / q;
}

// To 2e-7 absolute.
float tanh_accurate(float x) {
    return 1.0 - 2.0 / (exp_accurate(2.0 * x) + 1.0);
}
