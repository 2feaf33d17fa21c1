#include "instance.hpp"

#include <algorithm>
#include <chrono>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "hyperstyle_deploy/bundle.hpp"
#include "hyperstyle_deploy/errors.hpp"

namespace hyperstyle::triton {
namespace {

std::uint64_t now() {
  return static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
          .count());
}

// A parameter of the configuration; nothing where it is left out.
std::string parameter(const nlohmann::json& config, const std::string& name) {
  return config.value(nlohmann::json::json_pointer("/parameters/" + name + "/string_value"), std::string());
}

nlohmann::json config_of(TRITONBACKEND_Model* model) {
  TRITONSERVER_Message* message = nullptr;
  done(TRITONBACKEND_ModelConfig(model, 1, &message));
  const std::unique_ptr<TRITONSERVER_Message, TRITONSERVER_Error* (*)(TRITONSERVER_Message*)> owned(
      message, TRITONSERVER_MessageDelete);
  const char* text = nullptr;
  std::size_t size = 0;
  done(TRITONSERVER_MessageSerializeToJson(message, &text, &size));
  return nlohmann::json::parse(text, text + size);
}

// The bundle's folder, as `export-triton` lays it.
std::string bundle_of(TRITONBACKEND_Model* model) {
  TRITONBACKEND_ArtifactType kind = TRITONBACKEND_ARTIFACT_FILESYSTEM;
  const char* location = nullptr;
  std::uint64_t version = 0;
  done(TRITONBACKEND_ModelRepository(model, &kind, &location));
  done(TRITONBACKEND_ModelVersion(model, &version));
  return std::string(location) + "/" + std::to_string(version) + "/model.bundle";
}

Options options_of(TRITONBACKEND_ModelInstance* handle, const nlohmann::json& config) {
  Options options;
  if (const std::string named = parameter(config, "backend"); !named.empty()) options.backend = named;
  if (const std::string threads = parameter(config, "threads"); !threads.empty()) options.threads = std::stoi(threads);
  options.generator = parameter(config, "generator");
  options.trust_engines = parameter(config, "trust_engines") == "True";
  TRITONSERVER_InstanceGroupKind kind = TRITONSERVER_INSTANCEGROUPKIND_CPU;
  std::int32_t device = 0;
  done(TRITONBACKEND_ModelInstanceKind(handle, &kind));
  done(TRITONBACKEND_ModelInstanceDeviceId(handle, &device));
  if (kind == TRITONSERVER_INSTANCEGROUPKIND_GPU) options.device = device;
  return options;
}

// A callback that ends the work once nobody waits for it any more.
StepCallback watching(const std::vector<Pending>& group, Cancellation& cancellation) {
  return [&](const StepView&) {
    const auto gone = [](const Pending& pending) { return is_cancelled(pending.request); };
    if (std::all_of(group.begin(), group.end(), gone)) cancellation.cancel();
    return true;
  };
}

}  // namespace

Instance::Instance(TRITONBACKEND_ModelInstance* handle) : handle_(handle) {
  TRITONBACKEND_Model* model = nullptr;
  done(TRITONBACKEND_ModelInstanceModel(handle, &model));
  session_ = std::make_unique<Session>(Bundle::open(bundle_of(model)), options_of(handle, config_of(model)));
}

void Instance::execute(TRITONBACKEND_Request** requests, std::uint32_t count) const {
  std::map<Settings, std::vector<Pending>> groups;
  for (std::uint32_t index = 0; index < count; ++index) {
    Pending pending{requests[index], now()};
    try {
      if (is_cancelled(pending.request)) throw Cancelled("");
      pending.asked = read(pending.request);
      const Settings settings = pending.asked.settings;
      groups[settings].push_back(std::move(pending));
    } catch (...) {
      refuse(pending, std::current_exception());
    }
  }
  for (const auto& [settings, group] : groups) invert(group);
}

void Instance::invert(const std::vector<Pending>& group) const {
  std::vector<ImageView> photos;
  for (const Pending& pending : group) {
    for (const Image& photo : pending.asked.photos) photos.push_back(photo.view());
  }
  const std::uint64_t begun = now();
  std::vector<Inversion> inversions;
  try {
    Cancellation cancellation;
    const Settings& settings = group.front().asked.settings;
    inversions =
        session_->invert(photos, {settings.steps, settings.until_gain, watching(group, cancellation), &cancellation});
  } catch (...) {
    for (const Pending& pending : group) refuse(pending, std::current_exception());
    return;
  }
  const std::uint64_t ended = now();
  auto first = inversions.begin();
  for (const Pending& pending : group) {
    const auto last = first + static_cast<std::ptrdiff_t>(pending.asked.photos.size());
    answer(pending, {std::make_move_iterator(first), std::make_move_iterator(last)}, begun, ended);
    first = last;
  }
  TRITONSERVER_ErrorDelete(TRITONBACKEND_ModelInstanceReportBatchStatistics(
      handle_, photos.size(), group.front().started, begun, ended, now()));
}

void Instance::answer(const Pending& pending, const std::vector<Inversion>& inversions, std::uint64_t begun,
                      std::uint64_t ended) const {
  try {
    TRITONBACKEND_Response* response = response_of(pending.request, inversions);
    TRITONSERVER_ErrorDelete(TRITONBACKEND_ResponseSend(response, TRITONSERVER_RESPONSE_COMPLETE_FINAL, nullptr));
  } catch (...) {
    refuse(pending, std::current_exception());
    return;
  }
  give_back(pending, true, begun, ended);
}

void Instance::refuse(const Pending& pending, std::exception_ptr failure) const {
  TRITONSERVER_Error* error = answer_of(failure);
  TRITONBACKEND_Response* response = nullptr;
  TRITONSERVER_ErrorDelete(TRITONBACKEND_ResponseNew(&response, pending.request));
  // Triton reads the error and leaves it to us.
  TRITONSERVER_ErrorDelete(TRITONBACKEND_ResponseSend(response, TRITONSERVER_RESPONSE_COMPLETE_FINAL, error));
  TRITONSERVER_ErrorDelete(error);
  give_back(pending, false, pending.started, pending.started);
}

void Instance::give_back(const Pending& pending, bool success, std::uint64_t begun, std::uint64_t ended) const {
  TRITONSERVER_ErrorDelete(TRITONBACKEND_ModelInstanceReportStatistics(handle_, pending.request, success,
                                                                       pending.started, begun, ended, now()));
  TRITONSERVER_ErrorDelete(TRITONBACKEND_RequestRelease(pending.request, TRITONSERVER_REQUEST_RELEASE_ALL));
}

}  // namespace hyperstyle::triton
