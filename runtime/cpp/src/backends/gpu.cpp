#include "gpu.hpp"

#include "../bundle.hpp"
#include "../layers.hpp"
#include "../methods/signatures.hpp"
#include "../text.hpp"
#include "arithmetic.h"
#include "binding.hpp"
#include "hyperstyle_deploy/errors.hpp"
#include "modulate.h"

namespace hyperstyle {
namespace {

// Recordings that are kept, two for every batch size: a start and a step; the oldest goes first.
constexpr std::size_t max_recordings = 16;

void launched(int code) {
  if (code == 0) return;
  throw KernelError(Message(std::string("The kernel was not launched: ") + hyperstyle_modulate_error(code))
                        .got((code > 0 ? "CUDA error " : "code ") + std::to_string(code))
                        .expected("a current CUDA device, and a stream of it"));
}

// What recorded work depends on: what it is, which arrays go in, and how large they are.
std::string key_of(const std::string& name, const Arrays& inputs) {
  std::string key = name;
  for (const auto& [input, array] : inputs) key += ", " + input + " " + repr(array.shape);
  return key;
}

const float* floats(const Array& array) { return static_cast<const float*>(array.data); }

int kernel_dtype(Dtype dtype) {
  return dtype == Dtype::float16    ? HYPERSTYLE_FLOAT16
         : dtype == Dtype::bfloat16 ? HYPERSTYLE_BFLOAT16
                                    : HYPERSTYLE_FLOAT32;
}

HyperstyleLayer table_entry(const Layer& layer, const Arrays& constants, const Arrays& tuned, const Arrays& offsets) {
  HyperstyleLayer entry{};
  entry.base = constants.at("weight." + layer.name).data;
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

GpuBackend::GpuBackend(const Bundle& bundle, const Method& method, std::unique_ptr<Device> device,
                       std::unique_ptr<GraphRunner> runner)
    : bundle_(bundle), device_(std::move(device)), runner_(std::move(runner)) {
  const Use use(*this);
  for (const auto& [name, array] : constants(bundle, method)) constants_[name] = placed(array);
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

GpuBackend::Use::Use(const GpuBackend& backend) : lock_(backend.lock_), guard_(backend.device_->index()) {}

const Array& GpuBackend::constant(const std::string& name) const { return constant_of(constants_, name); }

Arrays GpuBackend::run(const std::string& graph, const Arrays& inputs) {
  const Use use(*this);
  return graph == "weights" ? modulated(run_graph("offsets", inputs)) : run_graph(graph, inputs);
}

Arrays GpuBackend::run_graph(const std::string& graph, const Arrays& inputs) {
  const GraphSpec& spec = bundle_.manifest().graph(graph);
  const Binding binding = bound(graph, spec, inputs, constants_);
  Arrays arrays = binding.inputs, outputs;
  for (const TensorSpec& output : spec.outputs) {
    const Array array = device_->allocate(dtype_of(output.dtype), binding.output_shape(output));
    arrays[output.name] = outputs[output.name] = array;
  }
  runner_->run(graph, arrays);
  return outputs;
}

// The tuned layers' weights and energies, from their offsets.
Arrays GpuBackend::modulated(const Arrays& offsets) {
  Arrays tuned;
  for (const TensorSpec& spec : weight_specs(bundle_.manifest())) {
    const Array& own = constants_.at(spec.name);
    tuned[spec.name] = device_->allocate(own.dtype, own.shape);
  }
  std::vector<HyperstyleLayer> table;
  for (const Layer& layer : tuned_layers(bundle_.manifest())) {
    table.push_back(table_entry(layer, constants_, tuned, offsets));
  }
  const Dtype dtype = dtype_of(bundle_.manifest().precision);
  launched(hyperstyle_modulate(table.data(), static_cast<int>(table.size()), kernel_dtype(dtype), kernel_dtype(dtype),
                               device_->stream()));
  return tuned;
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

Variable GpuBackend::adam(const Variable& variable, const Array& rates) {
  const Arrays after = run("adam_" + variable.name, {{"value", variable.value},
                                                     {"gradient", variable.gradient},
                                                     {"first", variable.first},
                                                     {"second", variable.second},
                                                     {"rates", rates}});
  return {variable.name, after.at("value_after"), variable.gradient, after.at("first_after"), after.at("second_after")};
}

Array GpuBackend::upload(const Array& host) {
  const Use use(*this);
  return placed(host);
}

Array GpuBackend::download(const Array& array) {
  const Use use(*this);
  return device_->download(array);
}

Arrays GpuBackend::replay(const std::string& name, const Work& work, const Arrays& inputs) {
  const Use use(*this);
  if (!runner_->recordable()) return work(inputs);
  Kept& kept = recorded(name, work, inputs);
  for (const auto& [input, array] : inputs) device_->copy(array, kept.inputs.at(input).data);
  device_->replay(kept.recording);
  Arrays outputs;  // copies: the next replay writes over the recording's own
  for (const auto& [output, array] : kept.recording.result) outputs[output] = device_->copied(array);
  return outputs;
}

GpuBackend::Kept& GpuBackend::recorded(const std::string& name, const Work& work, const Arrays& inputs) {
  const std::string key = key_of(name, inputs);
  for (Kept& kept : recordings_) {
    if (kept.key == key) return kept;
  }
  if (recordings_.size() == max_recordings) recordings_.pop_front();
  Arrays own;
  for (const auto& [input, array] : inputs) own[input] = device_->copied(array);
  recordings_.push_back({key, own, device_->record([&] { return work(own); })});
  return recordings_.back();
}

Array GpuBackend::placed(const Array& host) {
  const Array array = device_->allocate(host.dtype, host.shape);
  device_->upload(host, array);
  return array;
}

}  // namespace hyperstyle
