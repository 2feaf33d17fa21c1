// A Gaussian blur by Fourier transforms: its time does not grow with its width, which is hundreds of pixels.
#include <cmath>
#include <cstddef>
#include <utility>

#include "parts.hpp"

namespace hyperstyle {
namespace {

constexpr double pi = 3.14159265358979323846;

struct Complex {
  float real = 0, imaginary = 0;
};

Complex operator+(Complex a, Complex b) { return {a.real + b.real, a.imaginary + b.imaginary}; }
Complex operator-(Complex a, Complex b) { return {a.real - b.real, a.imaginary - b.imaginary}; }
Complex operator*(Complex a, Complex b) {
  return {a.real * b.real - a.imaginary * b.imaginary, a.real * b.imaginary + a.imaginary * b.real};
}

using Signal = std::vector<Complex>;

// The discrete Fourier transform of a power of two of values (Cooley and Tukey 1965, in place).
class Fourier {
 public:
  explicit Fourier(std::size_t size) : size_(size), turns_(size / 2), swapped_(size) {
    for (std::size_t at = 0; at < size / 2; ++at) {
      const double angle = -2 * pi * static_cast<double>(at) / static_cast<double>(size);
      turns_[at] = {static_cast<float>(std::cos(angle)), static_cast<float>(std::sin(angle))};
    }
    for (std::size_t at = 1; at < size; ++at) swapped_[at] = swapped_[at / 2] / 2 + (at % 2) * (size / 2);
  }

  void operator()(Signal& signal) const {
    for (std::size_t at = 0; at < size_; ++at) {
      if (at < swapped_[at]) std::swap(signal[at], signal[swapped_[at]]);
    }
    for (std::size_t half = 1; half < size_; half *= 2) {
      const std::size_t step = size_ / (2 * half);
      for (std::size_t first = 0; first < size_; first += 2 * half) {
        for (std::size_t at = 0; at < half; ++at) {
          Complex& even = signal[first + at];
          Complex& odd = signal[first + half + at];
          const Complex turned = odd * turns_[at * step];
          odd = even - turned;
          even = even + turned;
        }
      }
    }
  }

 private:
  std::size_t size_;
  std::vector<Complex> turns_;
  std::vector<std::size_t> swapped_;
};

std::vector<double> gaussian(std::size_t radius, double sigma) {
  std::vector<double> weights;
  double sum = 0;
  for (std::size_t at = 0; at <= 2 * radius; ++at) {
    const double x = (static_cast<double>(at) - static_cast<double>(radius)) / sigma;
    weights.push_back(std::exp(-0.5 * x * x));
    sum += weights.back();
  }
  for (double& weight : weights) weight /= sum;
  return weights;
}

// Every row convolved with the weights of a Gaussian. Two rows go through one transform, as its real and imaginary part.
void blur_rows(std::vector<float>& rows, std::size_t height, std::size_t width, double sigma) {
  const auto radius = static_cast<std::size_t>(4 * sigma + 0.5);
  std::size_t period = 1;
  while (period < width + 2 * radius) period *= 2;
  const Fourier fourier(period);
  const std::vector<double> weights = gaussian(radius, sigma);
  Signal spectrum(period);
  for (std::size_t at = 0; at < weights.size(); ++at) {
    spectrum[at].real = static_cast<float>(weights[at] / static_cast<double>(period));
  }
  fourier(spectrum);
  std::vector<std::size_t> mirrored(width + 2 * radius);
  for (std::size_t at = 0; at < mirrored.size(); ++at) {
    const std::size_t turns = 2 * width * (radius / (2 * width) + 1);
    const std::size_t place = (at + turns - radius) % (2 * width);
    mirrored[at] = place < width ? place : 2 * width - 1 - place;
  }
  Signal signal(period);
  for (std::size_t row = 0; row < height; row += 2) {
    float* first = &rows[row * width];
    float* second = row + 1 < height ? first + width : first;
    std::fill(signal.begin(), signal.end(), Complex{});
    for (std::size_t at = 0; at < mirrored.size(); ++at) signal[at] = {first[mirrored[at]], second[mirrored[at]]};
    fourier(signal);
    // The inverse is the transform with real and imaginary parts exchanged, before and after.
    for (std::size_t at = 0; at < period; ++at) {
      const Complex product = signal[at] * spectrum[at];
      signal[at] = {product.imaginary, product.real};
    }
    fourier(signal);
    for (std::size_t at = 0; at < width; ++at) {
      first[at] = signal[at + 2 * radius].imaginary;
      second[at] = row + 1 < height ? signal[at + 2 * radius].real : first[at];
    }
  }
}

std::vector<float> transposed(const std::vector<float>& rows, std::size_t height, std::size_t width) {
  std::vector<float> result(rows.size());
  for (std::size_t row = 0; row < height; ++row) {
    for (std::size_t column = 0; column < width; ++column) result[column * height + row] = rows[row * width + column];
  }
  return result;
}

}  // namespace

void blur(std::vector<float>& channel, std::int64_t height, std::int64_t width, double sigma) {
  const auto rows = static_cast<std::size_t>(height), columns = static_cast<std::size_t>(width);
  std::vector<float> turned = transposed(channel, rows, columns);
  blur_rows(turned, columns, rows, sigma);
  channel = transposed(turned, columns, rows);
  blur_rows(channel, rows, columns, sigma);
}

}  // namespace hyperstyle
