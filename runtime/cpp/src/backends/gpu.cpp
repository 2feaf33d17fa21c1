#include "gpu.hpp"

#include "../bundle.hpp"
#include "../manifest_checks.hpp"
#include "../text.hpp"
#include "arithmetic.h"
#include "hyperstyle_deploy/errors.hpp"
#include "modulate.h"

namespace hyperstyle {
namespace {

// Recordings that are kept, one for every batch size and number of steps; the oldest goes first.
constexpr std::size_t max_recordings = 8;

void launched(int code) {
  if (code == 0) return;
  throw KernelError(Message(std::string("The kernel was not launched: ") + hyperstyle_modulate_error(code))
                        .got((code > 0 ? "CUDA error " : "code ") + std::to_string(code))
                        .expected("a current CUDA device, and a stream of it"));
}

const float* floats(const Array& array) { return static_cast<const float*>(array.data); }

int kernel_dtype(Dtype dtype) {
  return dtype == Dtype::float16 ? HYPERSTYLE_FLOAT16 : dtype == Dtype::bfloat16 ? HYPERSTYLE_BFLOAT16 : HYPERSTYLE_FLOAT32;
}

HyperstyleLayer table_entry(const Layer& layer, const Weights& untuned, const Weights& tuned, const Arrays& offsets) {
  HyperstyleLayer entry{};
  entry.base = untuned.at("weight." + layer.name).data;
  entry.weight = tuned.at("weight." + layer.name).data;
  entry.offset = offsets.at("offset." + layer.name).data;
  if (layer.demodulated()) entry.energy = static_cast<float*>(tuned.at("energy." + layer.name).data);
  entry.out_channels = static_cast<std::int32_t>(layer.out_channels);
  entry.in_channels = static_cast<std::int32_t>(layer.in_channels);
  entry.taps = static_cast<std::int32_t>(layer.kernel * layer.kernel);
  entry.offset_kind = layer.offset == "channel" ? HYPERSTYLE_OFFSET_CHANNEL : HYPERSTYLE_OFFSET_FULL;
  entry.transposed = layer.up ? 1 : 0;
  entry.scale = 1;  // a bundle's weights hold theirs already
  return entry;
}

}  // namespace

GpuBackend::GpuBackend(const Bundle& bundle, std::unique_ptr<Device> device, std::unique_ptr<StageRunner> runner)
    : bundle_(bundle), device_(std::move(device)), runner_(std::move(runner)) {
  const Use use(*this);
  for (const auto& [name, array] : constants(bundle)) {
    if (name.rfind("weight.", 0) == 0 || name.rfind("energy.", 0) == 0) untuned_[name] = placed(array);
    if (name.rfind("noise.", 0) == 0) noises_[name] = placed(array);
  }
  check_weights();
}

GpuBackend::~GpuBackend() {
  // Work may be queued still, after a cancellation or a callback that threw: nothing it reads may go before it ends.
  try {
    const DeviceGuard guard(device_->index());
    cudaStreamSynchronize(device_->stream());
    recordings_.clear();
    runner_.reset();
  } catch (const Error&) {
    return;  // a GPU that is lost holds nothing any more
  }
}

// The kernel addresses weights and energies by the layer table.
void GpuBackend::check_weights() const {
  for (const Layer& layer : bundle_.manifest().layers) {
    if (!layer.tuned()) continue;
    const Shape weight = weight_sizes(layer);
    check_constant("weight." + layer.name, weight);
    if (layer.demodulated()) check_constant("energy." + layer.name, {weight[0], weight[1]});
  }
}

void GpuBackend::check_constant(const std::string& name, const Shape& shape) const {
  const auto found = untuned_.find(name);
  if (found != untuned_.end() && found->second.shape == shape) return;
  throw BundleError(Message(bundle_.path() + " has no " + name + " as its layers say")
                        .got(found == untuned_.end() ? "none" : repr(found->second.shape))
                        .expected(repr(shape)));
}

GpuBackend::Use::Use(const GpuBackend& backend) : lock_(backend.lock_), guard_(backend.device_->index()) {}

Array GpuBackend::encode(const Array& image) { return run("encoder", {{"image", image}}).at("codes"); }

Array GpuBackend::predict(const Array& image, const Array& reconstruction) {
  return run("hypernet", {{"image", image}, {"reconstruction", reconstruction}}).at("offset_codes");
}

Weights GpuBackend::tune(const Array& offset_codes, int steps) {
  const Use use(*this);
  const Arrays offsets = run("offsets", {{"offset_codes", offset_codes}, {"steps", scalar(steps)}});
  Weights tuned;
  for (const auto& [name, array] : untuned_) tuned[name] = device_->allocate(array.dtype, array.shape);
  std::vector<HyperstyleLayer> table;
  for (const Layer& layer : bundle_.manifest().layers) {
    if (layer.tuned()) {
      table.push_back(table_entry(layer, untuned_, tuned, offsets));
    } else {
      for (const char* kind : {"weight.", "energy."}) {  // not tuned: the generator's own
        const auto own = untuned_.find(kind + layer.name);
        if (own != untuned_.end()) tuned[own->first] = own->second;
      }
    }
  }
  if (table.empty()) return untuned_;
  const Dtype dtype = dtype_of(bundle_.manifest().precision);
  launched(hyperstyle_modulate(table.data(), static_cast<int>(table.size()), kernel_dtype(dtype),
                               kernel_dtype(offsets.begin()->second.dtype), device_->stream()));
  return tuned;
}

std::pair<Array, Array> GpuBackend::synthesize(const Array& codes, const Weights& weights) {
  Arrays inputs = weights;
  inputs.insert(noises_.begin(), noises_.end());
  inputs["codes"] = codes;
  const Arrays outputs = run(codes.shape[0] == 1 ? "synthesis_one" : "synthesis", inputs);
  return {outputs.at("image"), outputs.at("reconstruction")};
}

Array GpuBackend::squared_error(const Array& left, const Array& right) {
  const Use use(*this);
  const std::int64_t rows = left.shape[0];
  const Array errors = device_->allocate(Dtype::float64, {rows});
  launched(hyperstyle_squared_error(floats(left), floats(right), static_cast<double*>(errors.data), rows,
                                    count(left.shape) / rows, device_->stream()));
  return errors;
}

Array GpuBackend::pixels(const Array& image) {
  const Use use(*this);
  const Array pixels = device_->allocate(Dtype::uint8, {image.shape[0], image.shape[2], image.shape[3], 3});
  launched(hyperstyle_pixels(floats(image), static_cast<std::uint8_t*>(pixels.data), image.shape[0],
                             image.shape[2] * image.shape[3], device_->stream()));
  return pixels;
}

Array GpuBackend::add(const Array& left, const Array& right) {
  const Use use(*this);
  const Array total = device_->allocate(Dtype::float32, left.shape);
  launched(hyperstyle_add(floats(left), floats(right), static_cast<float*>(total.data), count(left.shape),
                          device_->stream()));
  return total;
}

Array GpuBackend::concatenate(const std::vector<Array>& rows) {
  if (rows.size() == 1) return rows[0];
  const Use use(*this);
  Shape shape = rows[0].shape;
  shape[0] = 0;
  for (const Array& row : rows) shape[0] += row.shape[0];
  const Array whole = device_->allocate(rows[0].dtype, shape);
  auto* target = static_cast<char*>(whole.data);
  for (const Array& row : rows) {
    device_->copy(row, target);
    target += row.bytes();
  }
  return whole;
}

Array GpuBackend::upload(const Array& host) {
  const Use use(*this);
  return placed(host);
}

Array GpuBackend::download(const Array& array) {
  const Use use(*this);
  return device_->download(array);
}

std::vector<Array> GpuBackend::compute(const WorkKey& key, const Work& work, const Array& host) {
  const Use use(*this);
  std::vector<Array> found, results;
  if (runner_->recordable()) {
    Kept& kept = recorded(key, work, host);
    device_->upload(host, kept.photos);
    device_->replay(kept.recording);
    found = kept.recording.result;
  } else {
    found = work(placed(host));
  }
  for (const Array& array : found) results.push_back(device_->download(array));
  return results;
}

GpuBackend::Kept& GpuBackend::recorded(const WorkKey& key, const Work& work, const Array& host) {
  for (Kept& kept : recordings_) {
    if (kept.key == key) return kept;
  }
  if (recordings_.size() == max_recordings) recordings_.pop_front();
  const Array photos = placed(host);
  recordings_.push_back({key, photos, device_->record([&] { return work(photos); })});
  return recordings_.back();
}

// Run a stage into new arrays; a free axis of an output has the size of the inputs' axis of that name.
Arrays GpuBackend::run(const std::string& stage, const Arrays& inputs) {
  const GraphSpec& graph = bundle_.manifest().graph(stage);
  std::map<std::string, std::int64_t> sizes;
  Arrays arrays, outputs;
  for (const TensorSpec& tensor : graph.inputs) {
    const auto given = inputs.find(tensor.name);
    if (given == inputs.end()) throw BackendError(Message(stage + " asks for " + tensor.name).expected("a stage's inputs"));
    const Array& array = arrays[tensor.name] = given->second;
    bool fits = array.shape.size() == tensor.shape.size() && array.dtype == dtype_of(tensor.dtype);
    for (std::size_t axis = 0; fits && axis < array.shape.size(); ++axis) {
      const Dimension& dim = tensor.shape[axis];
      fits = array.shape[axis] == (dim.free ? sizes.emplace(dim.name, array.shape[axis]).first->second : dim.size);
    }
    if (!fits) throw BackendError(Message(stage + " cannot take " + tensor.name).got(repr(array.shape)));
  }
  const Use use(*this);
  for (const TensorSpec& tensor : graph.outputs) {
    Shape shape;
    for (const Dimension& dim : tensor.shape) shape.push_back(dim.free ? sizes.at(dim.name) : dim.size);
    arrays[tensor.name] = outputs[tensor.name] = device_->allocate(dtype_of(tensor.dtype), shape);
  }
  runner_->run(stage, arrays);
  return outputs;
}

Array GpuBackend::placed(const Array& host) {
  const Array array = device_->allocate(host.dtype, host.shape);
  device_->upload(host, array);
  return array;
}

// A number as a graph takes it; kept, since a recording cannot upload.
Array GpuBackend::scalar(int value) {
  const auto found = scalars_.find(value);
  if (found != scalars_.end()) return found->second;
  const Array host = host_array(Dtype::float32, {});
  *static_cast<float*>(host.data) = static_cast<float>(value);
  return scalars_[value] = placed(host);
}

}  // namespace hyperstyle
