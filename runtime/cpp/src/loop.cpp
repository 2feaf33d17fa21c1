#include "loop.hpp"

#include <algorithm>

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

// Each photo's arrays, by their own names.
std::vector<State> unpacked(const Arrays& arrays, std::int64_t photos) {
  std::vector<State> states(static_cast<std::size_t>(photos));
  for (const auto& [name, array] : arrays) {
    const std::size_t space = name.rfind(' ');
    if (space != std::string::npos) states[std::stoul(name.substr(space + 1))][name.substr(0, space)] = array;
  }
  return states;
}

bool is_image(const std::string& name) { return name.rfind("image ", 0) == 0; }

}  // namespace

Loop::Loop(Backend& backend, const Method& method, const Manifest& manifest, Array photos, int steps,
           const Cancellation* cancellation)
    : backend_(backend),
      method_(method),
      manifest_(manifest),
      photos_(std::move(photos)),
      steps_(steps),
      cancellation_(cancellation) {}

Step Loop::start() {
  check_cancellation();
  Arrays inputs = given(0);
  inputs["photos"] = photos_;
  state_ = backend_.replay(
      "start", [this](const Arrays& own) { return started(own); }, inputs);
  // Sums are zeros before anything is added to them, so that the first step is like the others.
  for (const StateSpec& spec : method_.state()) {
    if (spec.shape[0].free) continue;
    const Array zeros = backend_.upload(zero_array(batched(spec, 0)));
    for (std::int64_t photo = 0; photo < photos_.shape[0]; ++photo) {
      state_.emplace(of_photo(spec.name, static_cast<std::size_t>(photo)), zeros);
    }
  }
  return shown();
}

Step Loop::advance(const Stopped& stopped) {
  check_cancellation();
  Arrays inputs = given(++index_), images;
  for (const auto& entry : state_) (is_image(entry.first) ? images : inputs).insert(entry);
  inputs.erase("errors");
  inputs["photos"] = photos_;
  inputs["steps"] = backend_.upload(scalar(static_cast<float>(index_)));
  const Stopped resting = backend_.replays() ? Stopped{} : stopped;
  state_ = backend_.replay(
      "step", [&](const Arrays& own) { return advanced(own, resting); }, inputs);
  state_.insert(images.begin(), images.end());  // of those that rest
  return shown();
}

// What the method gives to every photo's step: each has arrays of its own, since moments change in place.
Arrays Loop::given(int index) const {
  Arrays arrays;
  for (std::int64_t photo = 0; photo < photos_.shape[0]; ++photo) {
    for (const auto& [name, array] : method_.given(index, steps_)) {
      arrays[of_photo(name, static_cast<std::size_t>(photo))] = backend_.upload(array);
    }
  }
  return arrays;
}

Arrays Loop::started(const Arrays& inputs) const {
  const Array& photos = inputs.at("photos");
  const std::vector<State> states = method_.started(backend_, photos, unpacked(inputs, photos.shape[0]));
  std::vector<Arrays> pictures;
  for (std::size_t photo = 0; photo < states.size(); ++photo) {
    pictures.push_back(drawn(photos.row(static_cast<std::int64_t>(photo)), states[photo], {}));
  }
  return finished(photos, states, pictures);
}

Arrays Loop::advanced(const Arrays& inputs, const Stopped& stopped) const {
  const Array &photos = inputs.at("photos"), &before = inputs.at("reconstructions");
  const std::vector<State> states = method_.advance(backend_, photos, before, unpacked(inputs, photos.shape[0]));
  std::vector<Arrays> pictures;
  for (std::size_t photo = 0; photo < states.size(); ++photo) {
    const auto row = static_cast<std::int64_t>(photo);
    const bool rests = stopped.count(photo) > 0;
    pictures.push_back(rests ? Arrays{{"reconstruction", before.row(row)}}
                             : drawn(photos.row(row), states[photo], inputs.at("steps")));
  }
  return finished(photos, states, pictures);
}

Arrays Loop::drawn(const Array& photo, const State& state, const Array& steps) const {
  check_cancellation();
  return method_.draw(backend_, photo, state, steps);
}

Arrays Loop::finished(const Array& photos, const std::vector<State>& states,
                      const std::vector<Arrays>& pictures) const {
  Arrays outputs;
  pack(states, outputs);
  std::vector<Array> reconstructions;
  for (std::size_t photo = 0; photo < pictures.size(); ++photo) {
    for (const auto& [name, array] : pictures[photo]) {
      if (name == "reconstruction") {
        reconstructions.push_back(array);
      } else {
        outputs[of_photo(name, photo)] = array;
      }
    }
  }
  const Array whole = outputs["reconstructions"] = backend_.concatenate(reconstructions);
  if (manifest_.image.comparable()) outputs["errors"] = backend_.squared_error(photos, whole);
  return outputs;
}

Step Loop::shown() const {
  Step step{index_, unpacked(state_, photos_.shape[0]), state_.at("reconstructions"), {}};
  for (State& state : step.states) {
    for (auto entry = state.begin(); entry != state.end();) {
      entry = is_shown(entry->first) ? std::next(entry) : state.erase(entry);
    }
  }
  if (manifest_.image.comparable()) step.errors = state_.at("errors");
  return step;
}

bool Loop::is_shown(const std::string& name) const {
  const std::vector<StateSpec> kept = method_.state();
  return name == "image" || name == "norms" || name.rfind("loss.", 0) == 0 ||
         std::any_of(kept.begin(), kept.end(), [&](const StateSpec& spec) { return spec.name == name; });
}

void Loop::check_cancellation() const {
  if (cancellation_ != nullptr && cancellation_->cancelled()) throw Cancelled(Message("The work was cancelled"));
}

Arrays own_weights(Backend& backend, const Method& method, const State& state, float steps) {
  if (!(steps > 0) && !method.own_from_start()) return {};
  return method.weights(backend, state, backend.upload(scalar(steps)));
}

Array image_of(Backend& backend, const Method& method, const Step& step, std::size_t photo) {
  const State& state = step.states[photo];
  const auto there = state.find("image");
  if (there != state.end()) return there->second;
  Arrays inputs = own_weights(backend, method, state, static_cast<float>(step.index));
  inputs["codes"] = state.at("codes");
  return backend.run(method.drawing_one(), inputs).at("image");
}

}  // namespace hyperstyle
