#include "host.hpp"

#include <cstring>

#include "../bundle.hpp"
#include "../images.hpp"

namespace hyperstyle {

HostBackend::HostBackend(const Bundle& bundle) : bundle_(bundle) {
  for (const auto& [name, array] : constants(bundle)) {
    if (name.rfind("weight.", 0) == 0 || name.rfind("energy.", 0) == 0) untuned_[name] = array;
    if (name.rfind("noise.", 0) == 0) noises_[name] = array;
  }
}

Array HostBackend::encode(const Array& image) { return run("encoder", {{"image", image}}).at("codes"); }

Array HostBackend::predict(const Array& image, const Array& reconstruction) {
  return run("hypernet", {{"image", image}, {"reconstruction", reconstruction}}).at("offset_codes");
}

Weights HostBackend::tune(const Array& offset_codes, int steps) {
  const Array scalar = host_array(Dtype::float32, {});
  *static_cast<float*>(scalar.data) = static_cast<float>(steps);
  return run("weights", {{"offset_codes", offset_codes}, {"steps", scalar}});
}

std::pair<Array, Array> HostBackend::synthesize(const Array& codes, const Weights& weights) {
  Arrays inputs = weights;
  inputs.insert(noises_.begin(), noises_.end());
  inputs["codes"] = codes;
  const Arrays outputs = run(codes.shape[0] == 1 ? "synthesis_one" : "synthesis", inputs);
  return {outputs.at("image"), outputs.at("reconstruction")};
}

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

std::vector<Array> HostBackend::compute(const WorkKey&, const Work& work, const Array& host) { return work(host); }

}  // namespace hyperstyle
