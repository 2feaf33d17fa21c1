#include "host.hpp"

#include <cmath>
#include <cstring>

#include "../bundle.hpp"
#include "../images.hpp"
#include "binding.hpp"

namespace hyperstyle {

HostBackend::HostBackend(const Bundle& bundle, const Method& method)
    : bundle_(bundle), constants_(constants(bundle, method)) {}

const Array& HostBackend::constant(const std::string& name) const { return constant_of(constants_, name); }

Array HostBackend::squared_error(const Array& left, const Array& right) { return mean_squared_error(left, right); }

Array HostBackend::pixels(const Array& image) { return to_uint8(image); }

Array HostBackend::add(const Array& left, const Array& right) {
  const Array total = host_array(Dtype::float32, left.shape);
  const auto *first = static_cast<const float*>(left.data), *second = static_cast<const float*>(right.data);
  for (std::int64_t at = 0; at < count(left.shape); ++at) static_cast<float*>(total.data)[at] = first[at] + second[at];
  return total;
}

Array HostBackend::concatenate(const std::vector<Array>& rows) {
  if (rows.size() == 1) return rows[0];
  Shape shape = rows[0].shape;
  shape[0] = 0;
  for (const Array& row : rows) shape[0] += row.shape[0];
  const Array whole = host_array(rows[0].dtype, shape);
  auto* target = static_cast<char*>(whole.data);
  for (const Array& row : rows) {
    std::memcpy(target, row.data, row.bytes());
    target += row.bytes();
  }
  return whole;
}

// The moments change in place: of tuned weights they are as large as the generator. Each number goes through the Python
// runtime's operations in their order.
Variable HostBackend::adam(const Variable& variable, const Array& rates) {
  constexpr auto first_decay = 0.9f, second_decay = 0.999f;
  constexpr auto first_gain = static_cast<float>(1 - 0.9), second_gain = static_cast<float>(1 - 0.999);
  const auto* const numbers = static_cast<const float*>(rates.data);
  const float step = -numbers[0], epsilon = numbers[1];
  const Array after = host_array(Dtype::float32, variable.value.shape);
  const auto *const value = static_cast<const float*>(variable.value.data), *const gradient = static_cast<const float*>(
                                                                                variable.gradient.data);
  auto *const first = static_cast<float*>(variable.first.data),
              *const second = static_cast<float*>(variable.second.data), *const moved = static_cast<float*>(after.data);
  for (std::int64_t at = 0; at < count(after.shape); ++at) {
    first[at] = first[at] * first_decay + first_gain * gradient[at];
    second[at] = second[at] * second_decay + second_gain * (gradient[at] * gradient[at]);
    moved[at] = first[at] / (std::sqrt(second[at]) + epsilon) * step + value[at];
  }
  return {variable.name, after, variable.gradient, variable.first, variable.second};
}

Arrays HostBackend::replay(const std::string&, const Work& work, const Arrays& inputs) { return work(inputs); }

}  // namespace hyperstyle
