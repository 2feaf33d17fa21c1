#include "host.hpp"

#include <cstring>

#include "../bundle.hpp"
#include "../images.hpp"
#include "binding.hpp"

namespace hyperstyle {

HostBackend::HostBackend(const Bundle& bundle) : bundle_(bundle), constants_(constants(bundle)) {}

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

Arrays HostBackend::replay(const std::string&, const Work& work, const Arrays& inputs) { return work(inputs); }

}  // namespace hyperstyle
