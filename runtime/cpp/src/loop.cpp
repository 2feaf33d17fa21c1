#include "loop.hpp"

#include "hyperstyle_deploy/errors.hpp"
#include "kept.hpp"
#include "text.hpp"

namespace hyperstyle {
namespace {

// The name of a photo's array among those of its batch: "codes 3".
std::string of_photo(const std::string& name, std::size_t photo) { return name + " " + std::to_string(photo); }

void pack(const std::vector<State>& states, Arrays& arrays) {
  for (std::size_t photo = 0; photo < states.size(); ++photo) {
    for (const auto& [name, array] : states[photo]) arrays[of_photo(name, photo)] = array;
  }
}

}  // namespace

Loop::Loop(Backend& backend, const Method& method, const Manifest& manifest, Array photos,
           const Cancellation* cancellation)
    : backend_(backend),
      method_(method),
      manifest_(manifest),
      photos_(std::move(photos)),
      cancellation_(cancellation) {}

Step Loop::start() const {
  check_cancellation();
  const auto work = [this](const Arrays& inputs) { return started(inputs); };
  Step step = unpacked(0, backend_.replay("start", work, {{"photos", photos_}}));
  // Sums are zeros before anything is added to them, so that the first step is like the others.
  for (const StateSpec& spec : manifest_.state) {
    if (spec.shape[0].free) continue;
    const Array zeros = backend_.upload(zero_array(batched(spec, 0)));
    for (State& state : step.states) state.emplace(spec.name, zeros);
  }
  return step;
}

Step Loop::advance(const Step& last, const Stopped& stopped) const {
  check_cancellation();
  const int index = last.index + 1;
  const Array steps = backend_.upload(scalar(static_cast<float>(index)));
  Arrays inputs{{"photos", photos_}, {"reconstructions", last.reconstructions}, {"steps", steps}};
  pack(last.states, inputs);
  const auto work = [&](const Arrays& given) { return advanced(given, last, stopped); };
  return unpacked(index, backend_.replay("step", work, inputs));
}

Arrays Loop::started(const Arrays& inputs) const {
  const std::vector<State> states = method_.start(backend_, inputs.at("photos"));
  std::vector<Arrays> pictures;
  for (const State& state : states) pictures.push_back(drawn(state, {}));
  return finished(inputs.at("photos"), states, pictures);
}

Arrays Loop::advanced(const Arrays& inputs, const Step& last, const Stopped& stopped) const {
  const Array& photos = inputs.at("photos");
  const std::vector<State> states = method_.advance(backend_, photos, inputs.at("reconstructions"), states_in(inputs));
  std::vector<Arrays> pictures;
  for (std::size_t photo = 0; photo < states.size(); ++photo) {
    if (stopped.count(photo) > 0 && !backend_.replays()) {
      const Array before = last.reconstructions.row(static_cast<std::int64_t>(photo));
      pictures.push_back({{"image", last.images[photo]}, {"reconstruction", before}});
      continue;
    }
    check_cancellation();
    pictures.push_back(drawn(states[photo], method_.weights(backend_, states[photo], inputs.at("steps"))));
  }
  return finished(photos, states, pictures);
}

// A photo's image and reconstruction.
Arrays Loop::drawn(const State& state, Arrays weights) const {
  check_cancellation();
  weights["codes"] = state.at("codes");
  return backend_.run("synthesis_one", weights);
}

Arrays Loop::finished(const Array& photos, const std::vector<State>& states,
                      const std::vector<Arrays>& pictures) const {
  Arrays outputs;
  pack(states, outputs);
  std::vector<Array> reconstructions;
  for (std::size_t photo = 0; photo < pictures.size(); ++photo) {
    outputs[of_photo("image", photo)] = pictures[photo].at("image");
    reconstructions.push_back(pictures[photo].at("reconstruction"));
  }
  const Array whole = outputs["reconstructions"] = backend_.concatenate(reconstructions);
  if (manifest_.image.comparable()) outputs["errors"] = backend_.squared_error(photos, whole);
  return outputs;
}

Step Loop::unpacked(int index, const Arrays& outputs) const {
  Step step{index, states_in(outputs), {}, outputs.at("reconstructions"), {}};
  for (std::size_t photo = 0; photo < step.states.size(); ++photo) {
    step.images.push_back(outputs.at(of_photo("image", photo)));
  }
  if (manifest_.image.comparable()) step.errors = outputs.at("errors");
  return step;
}

std::vector<State> Loop::states_in(const Arrays& arrays) const {
  std::vector<State> states(static_cast<std::size_t>(photos_.shape[0]));
  for (std::size_t photo = 0; photo < states.size(); ++photo) {
    for (const StateSpec& spec : manifest_.state) {
      const auto found = arrays.find(of_photo(spec.name, photo));
      if (found != arrays.end()) states[photo][spec.name] = found->second;
    }
  }
  return states;
}

void Loop::check_cancellation() const {
  if (cancellation_ != nullptr && cancellation_->cancelled()) throw Cancelled(Message("The work was cancelled"));
}

}  // namespace hyperstyle
