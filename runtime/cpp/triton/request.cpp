#include "request.hpp"

#include <cstdint>
#include <cstring>
#include <functional>
#include <string_view>

#include "hyperstyle_deploy/errors.hpp"
#include "hyperstyle_deploy/session.hpp"

namespace hyperstyle::triton {
namespace {

// The Python model's bounds.
constexpr std::int64_t most_steps = 100, most_pixels = 40'000'000;

struct Input {
  std::string name;
  TRITONSERVER_DataType type;
  std::vector<std::int64_t> shape;
  std::string content;
};

Input input_of(TRITONBACKEND_Request* request) {
  TRITONBACKEND_Input* input = nullptr;
  done(TRITONBACKEND_RequestInputByIndex(request, 0, &input));
  const char* name = nullptr;
  const std::int64_t* shape = nullptr;
  std::uint32_t axes = 0, buffers = 0;
  std::uint64_t bytes = 0;
  Input found;
  done(TRITONBACKEND_InputProperties(input, &name, &found.type, &shape, &axes, &bytes, &buffers));
  found.name = name;
  found.shape.assign(shape, shape + axes);
  for (std::uint32_t index = 0; index < buffers; ++index) {
    const void* buffer = nullptr;
    TRITONSERVER_MemoryType memory = TRITONSERVER_MEMORY_CPU;
    std::int64_t memory_id = 0;
    std::uint64_t size = 0;
    done(TRITONBACKEND_InputBuffer(input, index, &buffer, &size, &memory, &memory_id));
    if (memory == TRITONSERVER_MEMORY_GPU) {
      throw CallError(TRITONSERVER_ERROR_UNSUPPORTED, "Photos are taken from the host's memory.");
    }
    found.content.append(static_cast<const char*>(buffer), size);
  }
  return found;
}

// Files, each behind its length in four bytes.
std::vector<Image> decoded(const Input& input) {
  std::vector<Image> photos;
  std::string_view rest = input.content;
  while (!rest.empty()) {
    std::uint32_t size = 0;
    if (rest.size() < sizeof size) throw ArrayError("file is no file. Expected: BYTES [1].");
    std::memcpy(&size, rest.data(), sizeof size);
    rest.remove_prefix(sizeof size);
    if (rest.size() < size) throw ArrayError("file is no file. Expected: BYTES [1].");
    photos.push_back(decode_photo(rest.substr(0, size), "the photo"));
    rest.remove_prefix(size);
  }
  return photos;
}

std::vector<Image> cut(const Input& input) {
  const auto& shape = input.shape;
  if (input.type != TRITONSERVER_TYPE_UINT8 || shape.size() != 4 || shape[3] != 3 || shape[1] < 1 || shape[2] < 1) {
    throw ArrayError("pixels are no photo. Expected: UINT8 [height, width, 3].");
  }
  if (shape[1] > most_pixels / shape[2]) {
    throw ImageError("the photo has an unsupported size. Expected: from 1 to 40,000,000 pixels.");
  }
  const auto size = static_cast<std::size_t>(3 * shape[1] * shape[2]);
  std::vector<Image> photos;
  for (std::size_t at = 0; at + size <= input.content.size(); at += size) {
    const auto* pixels = reinterpret_cast<const std::uint8_t*>(input.content.data()) + at;
    photos.push_back({shape[1], shape[2], {pixels, pixels + size}});
  }
  return photos;
}

Settings settings_of(TRITONBACKEND_Request* request) {
  Settings settings{default_steps, std::nullopt};
  std::uint32_t count = 0;
  done(TRITONBACKEND_RequestParameterCount(request, &count));
  for (std::uint32_t index = 0; index < count; ++index) {
    const char* key = nullptr;
    const void* value = nullptr;
    TRITONSERVER_ParameterType type = TRITONSERVER_PARAMETER_STRING;
    done(TRITONBACKEND_RequestParameter(request, index, &key, &type, &value));
    const std::int64_t whole = type == TRITONSERVER_PARAMETER_INT ? *static_cast<const std::int64_t*>(value) : -1;
    if (std::strcmp(key, "steps") == 0) {
      if (whole < 0 || whole > most_steps) {
        throw ArrayError("steps is no number in range. Expected: 0 to " + std::to_string(most_steps) + ".");
      }
      settings.steps = static_cast<int>(whole);
    } else if (std::strcmp(key, "until_gain") == 0) {
      const double gain =
          type == TRITONSERVER_PARAMETER_DOUBLE ? *static_cast<const double*>(value) : static_cast<double>(whole);
      if (!(gain >= 0 && gain < 1)) {
        throw ArrayError("until_gain is out of range. Expected: 0 or more, less than 1.");
      }
      settings.until_gain = gain;
    }
  }
  return settings;
}

// An output of one photo; the bytes are somebody else's.
struct Output {
  TRITONSERVER_DataType type;
  std::vector<std::int64_t> shape;
  const void* data;
  std::size_t bytes;
};

template <typename Values>
Output output_of(TRITONSERVER_DataType type, std::vector<std::int64_t> shape, const Values& values) {
  return {type, std::move(shape), values.data(), values.size() * sizeof(typename Values::value_type)};
}

// ``file`` keeps the bytes of the inversion's own file, if that is what is asked for.
Output output_of(const Inversion& inversion, const std::string& name, std::string& file) {
  if (name == "image") {
    return output_of(TRITONSERVER_TYPE_UINT8, {inversion.image.height, inversion.image.width, 3},
                     inversion.image.pixels);
  }
  if (name == "l2") {
    return output_of(TRITONSERVER_TYPE_FP64, {static_cast<std::int64_t>(inversion.l2.size())}, inversion.l2);
  }
  if (name == "inversion") {
    file = inversion.to_bytes();
    return output_of(TRITONSERVER_TYPE_UINT8, {static_cast<std::int64_t>(file.size())}, file);
  }
  const Floats& array = inversion.array(name);
  return output_of(TRITONSERVER_TYPE_FP32, array.shape, array.values);
}

void add_output(TRITONBACKEND_Response* response, const std::string& name, const std::vector<Inversion>& inversions) {
  std::vector<std::string> files(inversions.size());
  std::vector<Output> outputs;
  for (std::size_t photo = 0; photo < inversions.size(); ++photo) {
    outputs.push_back(output_of(inversions[photo], name, files[photo]));
    if (outputs.back().shape != outputs.front().shape) {
      throw ArrayError(name +
                       " differs from photo to photo of a request. "
                       "Expected: one photo a request where until_gain stops them.");
    }
  }
  std::vector<std::int64_t> shape = outputs.front().shape;
  shape.insert(shape.begin(), static_cast<std::int64_t>(outputs.size()));
  const auto axes = static_cast<std::uint32_t>(shape.size());
  TRITONBACKEND_Output* output = nullptr;
  done(TRITONBACKEND_ResponseOutput(response, &output, name.c_str(), outputs.front().type, shape.data(), axes));
  void* buffer = nullptr;
  TRITONSERVER_MemoryType memory = TRITONSERVER_MEMORY_CPU;
  std::int64_t memory_id = 0;
  const std::size_t bytes = outputs.front().bytes;
  done(TRITONBACKEND_OutputBuffer(output, &buffer, outputs.size() * bytes, &memory, &memory_id));
  if (memory == TRITONSERVER_MEMORY_GPU) {
    throw CallError(TRITONSERVER_ERROR_UNSUPPORTED, "Outputs go to the host's memory.");
  }
  for (std::size_t photo = 0; photo < outputs.size() && bytes > 0; ++photo) {
    std::memcpy(static_cast<char*>(buffer) + photo * bytes, outputs[photo].data, bytes);
  }
}

}  // namespace

Asked read(TRITONBACKEND_Request* request) {
  std::uint32_t inputs = 0;
  done(TRITONBACKEND_RequestInputCount(request, &inputs));
  if (inputs != 1) throw ArrayError("The inputs are others. Expected: file or pixels.");
  const Input input = input_of(request);
  Asked asked{settings_of(request), input.name == "file" ? decoded(input) : cut(input)};
  if (asked.photos.empty()) throw ArrayError("There is no photo. Expected: at least one.");
  return asked;
}

bool is_cancelled(TRITONBACKEND_Request* request) {
  bool cancelled = false;
  done(TRITONBACKEND_RequestIsCancelled(request, &cancelled));
  return cancelled;
}

TRITONBACKEND_Response* response_of(TRITONBACKEND_Request* request, const std::vector<Inversion>& inversions) {
  TRITONBACKEND_Response* response = nullptr;
  done(TRITONBACKEND_ResponseNew(&response, request));
  try {
    std::uint32_t count = 0;
    done(TRITONBACKEND_RequestOutputCount(request, &count));
    for (std::uint32_t index = 0; index < count; ++index) {
      const char* name = nullptr;
      done(TRITONBACKEND_RequestOutputName(request, index, &name));
      add_output(response, name, inversions);
    }
  } catch (...) {
    TRITONSERVER_ErrorDelete(TRITONBACKEND_ResponseDelete(response));
    throw;
  }
  return response;
}

}  // namespace hyperstyle::triton
