// Sessions on a real bundle, checked from inside a program: callbacks, cancellation, batches, edits, threads, errors.
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <thread>

#include "files.hpp"
#include "hyperstyle_deploy/runtime.h"
#include "hyperstyle_deploy/runtime.hpp"

namespace hs = hyperstyle;

namespace {

void check(bool holds, const char* what) {
  std::printf("%s %s\n", holds ? "ok  " : "FAIL", what);
  if (!holds) std::exit(1);
}

template <typename Wanted>
std::string caught(const std::function<void()>& work) {
  try {
    work();
  } catch (const Wanted& error) {
    return error.what();
  }
  return "";
}

bool same(const hs::Inversion& left, const hs::Inversion& right) {
  return left.codes.values == right.codes.values && left.offset_codes.values == right.offset_codes.values &&
         left.offset_codes.shape == right.offset_codes.shape && left.l2 == right.l2 && left.steps == right.steps &&
         left.image.pixels == right.image.pixels;
}

hs::InvertOptions with_steps(int steps) {
  hs::InvertOptions options;
  options.steps = steps;
  return options;
}

void check_callbacks(const hs::Session& session, const hs::Image& photo, const hs::Inversion& two) {
  hs::InvertOptions options = with_steps(2);
  std::vector<double> l2;
  options.on_step = [&](const hs::StepView& step) {
    l2.push_back(step.l2[0]);
    check(step.photos == 1 && step.index + 1 == static_cast<std::int64_t>(l2.size()), "steps come in order");
    check(std::isfinite(step.reconstruction[3 * 256 * 256 - 1]), "the reconstruction is whole");
    return true;
  };
  check(same(session.invert(photo.view(), options), two), "a callback changes nothing");
  check(l2 == two.l2, "a callback sees every step's L2");
  options.on_step = [](const hs::StepView& step) { return step.index < 1; };
  check(same(session.invert(photo.view(), options), session.invert(photo.view(), with_steps(1))), "a callback stops");
  options.on_step = [](const hs::StepView&) -> bool { throw std::runtime_error("mine"); };
  check(caught<std::runtime_error>([&] { session.invert(photo.view(), options); }) == "mine", "what it throws passes");
}

void check_cancellation(const hs::Session& session, const hs::Image& photo) {
  hs::Cancellation cancellation;
  hs::InvertOptions options = with_steps(100);
  options.cancellation = &cancellation;
  options.on_step = [&](const hs::StepView& step) {
    if (step.index == 1) cancellation.cancel();
    check(step.index < 2, "cancelled work ends");
    return true;
  };
  const auto work = [&] { session.invert(photo.view(), options); };
  check(caught<hs::Cancelled>(work) == "The work was cancelled.", "cancellation is an error of its own");
  check(session.invert(photo.view(), with_steps(0)).l2.size() == 1, "the session goes on after it");
}

void check_batch_and_edits(const hs::Session& session, const hs::Image& photo, const hs::Inversion& two) {
  const hs::Image other = hs::resize(photo.view(), 301, 199);
  const std::vector<hs::Inversion> both = session.invert({photo.view(), other.view()}, with_steps(2));
  float largest = 0;
  for (std::size_t at = 0; at < two.codes.values.size(); ++at) {
    largest = std::max(largest, std::abs(both[0].codes.values[at] - two.codes.values[at]));
  }
  check(both.size() == 2 && largest < 5e-5f, "a batch gives what single photos give");
  check(session.synthesize(two)[0].pixels == two.image.pixels, "an inversion draws its image");
  std::vector<float> edits = two.codes.values;
  for (const float code : two.codes.values) edits.push_back(code + 0.3f);
  const std::vector<hs::Image> images = session.synthesize(two, edits);
  check(images.size() == 2 && images[1].pixels != two.image.pixels, "edits of one person run as a batch");
}

void check_threads(const hs::Session& session, const hs::Image& photo, const hs::Inversion& two) {
  std::vector<hs::Inversion> found(2);
  std::vector<std::thread> threads;
  for (hs::Inversion& one : found) {
    threads.emplace_back([&] { one = session.invert(photo.view(), with_steps(2)); });
  }
  for (std::thread& thread : threads) thread.join();
  check(same(found[0], two) && same(found[1], two), "threads get the serial answers");
}

void check_errors(const hs::Session& session, const hs::Image& photo, const hs::Inversion& two) {
  const auto array = [&](const std::function<void()>& work) { return caught<hs::ArrayError>(work); };
  check(array([&] { session.invert(photo.view(), with_steps(101)); }) ==
            "steps is out of range. Got: 101. Expected: 0 to 100.", "steps are checked");
  check(array([&] { session.invert(std::vector<hs::ImageView>{}); }) ==
            "No photos to invert. Got: an empty list. Expected: at least one.", "an empty batch is refused");
  check(array([&] { session.invert(hs::ImageView{photo.pixels.data(), 0, 4, 0}); }) ==
            "Not a photo. Got: uint8 [0, 4, 3]. Expected: uint8 [H, W, 3].", "no pixels are refused");
  check(array([&] { session.synthesize(two, std::vector<float>(5)); }).rfind("codes has the wrong shape", 0) == 0,
        "codes of another size are refused");
  std::vector<float> codes = two.codes.values;
  codes[7] = std::nanf("");
  check(array([&] { session.synthesize(two, codes); }) == "codes has NaN or Inf in it. Expected: finite numbers.",
        "NaN is refused");
  hs::Inversion foreign = two;
  foreign.model = "another";
  check(!caught<hs::InversionError>([&] { session.synthesize(foreign); }).empty(), "another model is refused");
  foreign = two;
  foreign.offset_codes.values.pop_back();
  check(!caught<hs::InversionError>([&] { session.synthesize(foreign); }).empty(), "short offset codes are refused");
}

// Rows that go up in memory, as bitmaps have them.
void check_strides(const hs::Session& session, const hs::Image& photo, const hs::Inversion& two) {
  const std::ptrdiff_t row = 3 * static_cast<std::ptrdiff_t>(photo.width);
  std::vector<std::uint8_t> upside_down;
  for (std::ptrdiff_t at = photo.height - 1; at >= 0; --at) {
    const auto first = photo.pixels.begin() + at * row;
    upside_down.insert(upside_down.end(), first, first + row);
  }
  const hs::ImageView view{upside_down.data() + (photo.height - 1) * row, photo.height, photo.width, -row};
  check(same(session.invert(view, with_steps(2)), two), "rows may go up");
  hs::write_png("upside_down.png", view);
  check(hs::read_photo("upside_down.png").pixels == photo.pixels, "they do in a PNG");
  const hs::ImageView far{photo.pixels.data(), 1, photo.width, std::ptrdiff_t{1} << 33};
  check(!caught<hs::ArrayError>([&] { hs::write_png("far.png", far); }).empty(), "rows too far apart are refused");
}

void check_c_interface(const char* bundle, const hs::Image& photo, const hs::Inversion& two) {
  HyperstyleSession* session = nullptr;
  check(hyperstyle_open("/nowhere", nullptr, &session) == HYPERSTYLE_BUNDLE_ERROR && session == nullptr, "C: a code");
  check(std::string(hyperstyle_error()) == "/nowhere is not a bundle. Got: nothing there. Expected: a folder.", "C: a text");
  HyperstyleOptions options = HYPERSTYLE_OPTIONS;
  options.threads = 2;
  check(hyperstyle_open(bundle, &options, &session) == HYPERSTYLE_OK, "C: opens");
  const HyperstyleImage view{photo.pixels.data(), photo.height, photo.width, 0};
  HyperstyleInversion* inversion = nullptr;
  check(hyperstyle_invert(session, &view, 1, 2, nullptr, nullptr, nullptr, &inversion) == HYPERSTYLE_OK, "C: inverts");
  std::int64_t count = 0;
  const float* codes = hyperstyle_codes(inversion, &count);
  check(std::vector<float>(codes, codes + count) == two.codes.values, "C: the same codes");
  HyperstyleSizes sizes{};
  check(hyperstyle_sizes(session, &sizes) == HYPERSTYLE_ARRAY_ERROR, "C: sizes of an unknown struct");
  sizes = HYPERSTYLE_SIZES;
  check(hyperstyle_sizes(session, &sizes) == HYPERSTYLE_OK && sizes.image_width == 256, "C: sizes");
  std::vector<std::uint8_t> pixels(static_cast<std::size_t>(sizes.image_height * sizes.image_width * 3));
  check(hyperstyle_synthesize(session, inversion, nullptr, 1, pixels.data()) == HYPERSTYLE_OK, "C: draws");
  check(pixels == two.image.pixels, "C: the same pixels");
  hyperstyle_inversion_free(inversion);
  HyperstyleInversion* several[] = {inversion, inversion};  // freed, as memory that was used before may look
  check(hyperstyle_invert(session, nullptr, 2, 2, nullptr, nullptr, nullptr, several) == HYPERSTYLE_ARRAY_ERROR, "C: null");
  check(several[0] == nullptr && several[1] == nullptr, "C: no handles after an error");
  hyperstyle_close(session);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return 1;
  hs::Options options;
  options.threads = 2;
  const hs::Session session(hs::Bundle::open(argv[1]), options);
  const hs::Image photo = hs::read_photo(argv[2]);
  const hs::Inversion two = session.invert(photo.view(), with_steps(2));
  check_callbacks(session, photo, two);
  check_cancellation(session, photo);
  check_batch_and_edits(session, photo, two);
  check_threads(session, photo, two);
  check_errors(session, photo, two);
  check_strides(session, photo, two);
  check_c_interface(argv[1], photo, two);
}
