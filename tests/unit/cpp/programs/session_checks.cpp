// Sessions on a bundle of any method, checked from inside a program: callbacks, cancellation, batches, edits, threads.
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <iterator>
#include <thread>

#include "c_checks.hpp"
#include "checks.hpp"

namespace hs = hyperstyle;

namespace {

template <typename Wanted>
std::string caught(const std::function<void()>& work) {
  try {
    work();
  } catch (const Wanted& error) {
    return error.what();
  }
  return "";
}

void check_callbacks(const hs::Session& session, const hs::Image& photo, const hs::Inversion& last) {
  const hs::ImageSpec& size = session.manifest().image;
  hs::InvertOptions options = with_steps(last.steps);
  std::vector<double> l2;
  std::int64_t steps = 0;
  options.on_step = [&](const hs::StepView& step) {
    check(step.photos == 1 && step.index == steps++, "steps come in order");
    if (step.l2 != nullptr) l2.push_back(step.l2[0]);
    const float* reconstruction = step.reconstruction();
    check(std::isfinite(reconstruction[3 * size.input_height * size.input_width - 1]), "the reconstruction is whole");
    check(reconstruction == step.reconstruction(), "it comes once");
    check(step.losses[0].count("mse") == (descends(session) ? 1 : 0), "an optimisation tells its loss");
    return true;
  };
  check(same(session.invert(photo.view(), options), last), "a callback changes nothing");
  check(l2 == last.l2, "a callback sees every step's L2");
  options.on_step = [](const hs::StepView&) { return false; };
  hs::Inversion start = session.invert(photo.view(), with_steps(0));
  // With no step to come IDInvert runs no gradient graph, whose picture L2 is of.
  if (session.method() == "idinvert") start.l2 = {last.l2[0]};
  check(same(session.invert(photo.view(), options), start), "a callback stops");
  options.on_step = [](const hs::StepView&) -> bool { throw std::runtime_error("mine"); };
  check(caught<std::runtime_error>([&] { session.invert(photo.view(), options); }) == "mine", "what it throws passes");
}

void check_cancellation(const hs::Session& session, const hs::Image& photo, const hs::Inversion& last) {
  hs::Cancellation cancellation;
  hs::InvertOptions options = with_steps(last.steps);
  options.cancellation = &cancellation;
  check(same(session.invert(photo.view(), options), last), "a cancellation that is not used changes nothing");
  options.on_step = [&](const hs::StepView& step) {
    cancellation.cancel();
    check(step.index == 0, "cancelled work ends");
    return true;
  };
  const auto work = [&] { session.invert(photo.view(), options); };
  if (last.steps > 0) {
    check(caught<hs::Cancelled>(work) == "The work was cancelled.", "cancellation is an error of its own");
  }
  cancellation.cancel();
  check(!caught<hs::Cancelled>(work).empty(), "it holds for later work");
  check(session.invert(photo.view(), with_steps(0)).steps == 0, "the session goes on after it");
}

void check_early_stop(const hs::Session& session, const hs::Image& photo, const hs::Inversion& last) {
  hs::InvertOptions options = with_steps(last.steps);
  options.until_gain = 0.999;
  const hs::Inversion stopped = session.invert(photo.view(), options);
  const std::int64_t expected = last.l2.size() < 2 ? last.steps : last.l2[1] > last.l2[0] ? 0 : 1;
  check(stopped.steps == expected, "a photo that gains little stops, at the better of its last two steps");
  check(last.l2.empty() == stopped.l2.empty() && (last.l2.empty() || stopped.l2.size() == std::size_t(expected) + 1),
        "with its L2");
  options.until_gain = 1;
  check(caught<hs::ArrayError>([&] { session.invert(photo.view(), options); }).rfind("until_gain is out of range", 0) ==
            0,
        "the share is checked");
}

void check_batch_and_edits(const hs::Session& session, const hs::Image& photo, const hs::Inversion& last) {
  const hs::Image other = hs::resize(photo.view(), 301, 199);
  hs::InvertOptions options = with_steps(last.steps);
  const std::vector<hs::Inversion> both = session.invert({photo.view(), other.view()}, options);
  float largest = 0;
  for (const auto& [name, array] : last.arrays) {
    for (std::size_t at = 0; at < array.values.size(); ++at) {
      largest = std::max(largest, std::abs(both[0].array(name).values[at] - array.values[at]));
    }
  }
  check(both.size() == 2 && largest < 5e-5f, "a batch gives what single photos give");
  options.until_gain = 0;
  check(session.invert({photo.view(), other.view()}, options)[1].steps <= last.steps, "a batch stops photo by photo");
  check(session.synthesize(last)[0].pixels == last.image.pixels, "an inversion draws its image");
  hs::Floats edits = last.codes();
  edits.shape.insert(edits.shape.begin(), 2);
  for (const float code : last.codes().values) edits.values.push_back(code + 0.3f);
  const std::vector<hs::Image> images = session.synthesize(last, edits);
  check(images.size() == 2 && images[1].pixels != last.image.pixels, "edits of one person run as a batch");
}

// The first row of a component that moves it ends up at its coordinate.
void check_component(const hs::Session& session, const hs::Inversion& last, hs::Direction direction) {
  direction.mean = {{1, 8}, std::vector<float>(8, 0.25f)};
  direction.deviation = {{1}, {2.0f}};
  const hs::Floats moved = session.edited_codes(last, {{{direction, 3.0}}});
  double along = 0;
  for (std::size_t at = 0; at < 8; ++at) along += (moved.values[at] - 0.25) * direction.vector.values[at];
  check(std::abs(along / 2 - 3) < 1e-4, "a component is moved to its coordinate");
}

void check_edits(const hs::Session& session, const hs::Inversion& last) {
  hs::Direction direction;
  direction.name = "smile";
  direction.model = session.manifest().model;
  direction.end_row = 3;
  direction.least_strength = -1;
  direction.greatest_strength = 1;
  direction.vector = {{1, 8}, {0.6f, 0, 0, 0.8f, 0, 0, 0, 0}};
  const std::vector<hs::Edit> edits{{}, {{direction, 2.0}}};
  const hs::Floats codes = session.edited_codes(last, edits);
  bool holds = codes.shape == std::vector<std::int64_t>{2, 8, 8};
  for (std::size_t at = 0; at < 64; ++at) {
    const float moved = last.codes().values[at] + (at < 24 ? 2.0f * direction.vector.values[at % 8] : 0.0f);
    holds = holds && codes.values[at] == last.codes().values[at] && codes.values[64 + at] == moved;
  }
  check(holds, "a direction moves its rows");
  const std::vector<hs::Image> images = session.edit(last, edits);
  check(images[0].pixels == last.image.pixels && images[1].pixels != last.image.pixels, "edits are drawn together");
  check_component(session, last, direction);
  hs::Inversion other = last;
  for (float& code : other.arrays["codes"].values) code += 1;
  const hs::Floats mixed = session.edited_codes(last, {{{hs::Mix{other, 2, 4}, 1.0}}});
  check(std::abs(mixed.values[2 * 8] - other.codes().values[2 * 8]) < 1e-5f && mixed.values[0] == codes.values[0],
        "rows of another person are mixed in");
  check(session.between(last, other, 0).pixels == last.image.pixels, "between two people there is the first");
  check(session.between(last, other, 1).pixels == session.synthesize(other)[0].pixels, "and the second");
  check(!caught<hs::ArrayError>([&] { session.between(last, other, 1.01); }).empty(), "and nobody beyond");
  const auto refused = [&](const hs::Change& change) {
    return caught<hs::DirectionError>([&] { session.edit(last, {{change}}); });
  };
  check(refused({"grin", 1.0}).rfind("The bundle has no direction grin. Got: none at all.", 0) == 0, "names are known");
  check(refused({direction, 100.5}) == "The strength of smile is out of range. Got: 100.5. Expected: -100 to 100.",
        "strengths are checked");
  check(!refused({direction, std::nan("")}).empty(), "NaN is no strength");
  check(!refused({hs::Mix{other, 2, 9}, 1.0}).empty(), "rows are checked");
  direction.model = "another";
  check(!refused({direction, 1.0}).empty(), "a direction of another model is refused");
  direction.model = session.manifest().model;
  direction.vector.values.pop_back();
  check(!refused({direction, 1.0}).empty(), "a short vector is refused");
  direction.vector = {{1, 9}, std::vector<float>(9, 1.0f)};
  check(!refused({direction, 1.0}).empty(), "a vector of another width is refused");
  check(!caught<hs::ArrayError>([&] { session.edit(last, {}); }).empty(), "no edits are refused");
  check(session.directions().empty(), "the bundle carries none");
}

void check_threads(const hs::Session& session, const hs::Image& photo, const hs::Inversion& last) {
  std::vector<hs::Inversion> found(2);
  std::vector<std::thread> threads;
  for (hs::Inversion& one : found) {
    threads.emplace_back([&] { one = session.invert(photo.view(), with_steps(last.steps)); });
  }
  for (std::thread& thread : threads) thread.join();
  check(same(found[0], last) && same(found[1], last), "threads get the serial answers");
}

void check_errors(const hs::Session& session, const hs::Image& photo, const hs::Inversion& last) {
  const auto array = [&](const std::function<void()>& work) { return caught<hs::ArrayError>(work); };
  check(array([&] { session.invert(photo.view(), with_steps(1001)); }) ==
            "steps is out of range. Got: 1001. Expected: 0 to 1000.",
        "steps are checked");
  const std::string one = array([&] { session.invert(photo.view(), with_steps(1)); });
  check(one.empty() || (last.steps == 0 && one == "The method takes no refinement steps. Got: 1. Expected: 0."),
        "a method may take none");
  check(array([&] { session.invert(std::vector<hs::ImageView>{}); }) ==
            "No photos to invert. Got: an empty list. Expected: at least one.",
        "an empty batch is refused");
  check(array([&] {
          session.invert(hs::ImageView{photo.pixels.data(), 0, 4, 0});
        }) == "Not a photo. Got: uint8 [0, 4, 3]. Expected: uint8 [H, W, 3].",
        "no pixels are refused");
  hs::Floats codes = last.codes();
  codes.shape = {1, codes.shape[0] * 2, codes.shape[1] / 2};
  check(array([&] { session.synthesize(last, codes); }) ==
            "codes has the wrong shape. Got: 64 values for [1, 16, 4]. Expected: float32 [N, 8, 8].",
        "codes of another width are refused");
  codes = last.codes();
  codes.values.pop_back();
  check(!array([&] { session.synthesize(last, codes); }).empty(), "short codes are refused");
  codes.values.push_back(std::nanf(""));
  check(array([&] { session.synthesize(last, codes); }) == "codes has NaN or Inf in it. Expected: finite numbers.",
        "NaN is refused");
}

void check_foreign(const hs::Session& session, const hs::Inversion& last) {
  const auto refused = [&](const std::function<void(hs::Inversion&)>& change) {
    hs::Inversion changed = last;
    change(changed);
    return !caught<hs::InversionError>([&] { session.synthesize(changed); }).empty();
  };
  check(refused([](hs::Inversion& one) { one.model = "another"; }), "another model is refused");
  check(refused([](hs::Inversion& one) { one.method = "another"; }), "another method is refused");
  check(refused([](hs::Inversion& one) { one.arrays.begin()->second.values.pop_back(); }), "a short array is refused");
  check(refused([](hs::Inversion& one) { one.arrays.erase("codes"); }), "a missing array is refused");
  check(refused([](hs::Inversion& one) { one.arrays["more"] = {}; }), "an array more is refused");
  check(refused([](hs::Inversion& one) { one.steps = -1; }), "steps below 0 are refused");
}

// Rows that go up in memory, as bitmaps have them.
void check_strides(const hs::Session& session, const hs::Image& photo, const hs::Inversion& last) {
  const std::ptrdiff_t row = 3 * static_cast<std::ptrdiff_t>(photo.width);
  std::vector<std::uint8_t> upside_down;
  for (std::ptrdiff_t at = photo.height - 1; at >= 0; --at) {
    const auto first = photo.pixels.begin() + at * row;
    upside_down.insert(upside_down.end(), first, first + row);
  }
  const hs::ImageView view{upside_down.data() + (photo.height - 1) * row, photo.height, photo.width, -row};
  check(same(session.invert(view, with_steps(last.steps)), last), "rows may go up");
  hs::write_png("upside_down.png", view);
  check(hs::read_photo("upside_down.png").pixels == photo.pixels, "they do in a PNG");
  const hs::ImageView far{photo.pixels.data(), 1, photo.width, std::ptrdiff_t{1} << 33};
  check(!caught<hs::ArrayError>([&] { hs::write_png("far.png", far); }).empty(), "rows too far apart are refused");
}

std::string content_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

// What files hold, without files.
void check_contents(const char* path, const hs::Image& photo, const hs::Inversion& last) {
  check(hs::decode_photo(content_of(path), "it").pixels == photo.pixels, "a photo's content is decoded as its file");
  const std::string error = caught<hs::ImageError>([] { hs::decode_photo("no photo", "it"); });
  check(error == "Cannot read it. Got: another kind of file. Expected: JPEG or PNG.", "another kind of content is refused");
  last.save("contents.inversion");
  check(last.to_bytes() == content_of("contents.inversion"), "an inversion's bytes are its file's");
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3 && argc != 4) return 1;
  hs::Options options;
  options.threads = 2;
  if (argc == 4) options.method = argv[3];  // an optimisation
  const hs::Session session(hs::Bundle::open(argv[1]), options);
  const hs::Image photo = hs::read_photo(argv[2]);
  const hs::Inversion last =
      session.invert(photo.view(), with_steps(session.steps() > 0 ? 2 : 0));
  check_callbacks(session, photo, last);
  check_cancellation(session, photo, last);
  check_early_stop(session, photo, last);
  check_batch_and_edits(session, photo, last);
  check_edits(session, last);
  check_threads(session, photo, last);
  check_errors(session, photo, last);
  check_foreign(session, last);
  check_strides(session, photo, last);
  check_contents(argv[2], photo, last);
  check_c_interface(argv[1], argc == 4 ? argv[3] : nullptr, descends(session), photo, last);
}
