#include "c_checks.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstring>

#include "checks.hpp"
#include "hyperstyle_deploy/runtime.h"

namespace hs = hyperstyle;

namespace {

// What a callback has seen of steps: the last one, and how many told a loss.
struct Seen {
  int64_t last = -1, losses = 0;
};

int32_t count_steps(void* context, int64_t index, int64_t, const double*, const HyperstyleStep* step) {
  const float* values = nullptr;
  check(hyperstyle_reconstruction(step, &values) == HYPERSTYLE_OK && std::isfinite(values[0]), "C: a reconstruction");
  auto& seen = *static_cast<Seen*>(context);
  double loss = 0;
  const int code = hyperstyle_loss(step, 0, "mse", &loss);
  check(code == HYPERSTYLE_OK || code == HYPERSTYLE_ARRAY_ERROR, "C: a loss, or no such term");
  check(hyperstyle_loss(step, 1, "mse", &loss) == HYPERSTYLE_ARRAY_ERROR, "C: of no other photo");
  seen.losses += code == HYPERSTYLE_OK && std::isfinite(loss) ? 1 : 0;
  seen.last = index;
  return 1;
}

void check_sizes(const HyperstyleSession* session, const hs::Inversion& last) {
  HyperstyleSizes sizes{};
  check(hyperstyle_sizes(session, &sizes) == HYPERSTYLE_ARRAY_ERROR, "C: sizes of an unknown struct");
  sizes = HYPERSTYLE_SIZES;
  check(hyperstyle_sizes(session, &sizes) == HYPERSTYLE_OK && sizes.image_width == 32 && sizes.style_width == 8 &&
            sizes.styles == 8 && sizes.input_height == 32 && sizes.arrays == std::int64_t(last.arrays.size()),
        "C: sizes");
  check(sizes.input_channels == (sizes.input_kind == HYPERSTYLE_SKETCH ? 1 : 3), "C: what goes in");
  check(std::string(hyperstyle_method(session)) == last.method, "C: the method");
  for (int64_t index = 0; index < sizes.arrays; ++index) {
    HyperstyleArray spec;
    check(hyperstyle_state(session, index, &spec) == HYPERSTYLE_OK, "C: an array that inversions keep");
    const std::vector<std::int64_t>& shape = last.array(spec.name).shape;
    check(spec.axes == std::int64_t(shape.size()) && std::equal(shape.begin() + 1, shape.end(), spec.shape + 1),
          "C: with its shape");
    check(spec.shape[0] == shape[0] || (spec.shape[0] == -1 && shape[0] == last.steps), "C: or a free axis");
  }
  HyperstyleArray spec;
  check(hyperstyle_state(session, sizes.arrays, &spec) == HYPERSTYLE_ARRAY_ERROR, "C: and no more");
}

void check_arrays(const HyperstyleInversion* inversion, const hs::Inversion& last) {
  HyperstyleArray array;
  for (const auto& [name, floats] : last.arrays) {
    check(hyperstyle_array(inversion, name.c_str(), &array) == HYPERSTYLE_OK, "C: an array by its name");
    check(std::vector<float>(array.values, array.values + floats.values.size()) == floats.values, "C: the same values");
    check(std::vector<std::int64_t>(array.shape, array.shape + array.axes) == floats.shape, "C: the same shape");
  }
  check(hyperstyle_array(inversion, "more", &array) == HYPERSTYLE_INVERSION_ERROR, "C: no other array");
  std::int64_t count = 0;
  const double* l2 = hyperstyle_l2(inversion, &count);
  check(std::vector<double>(l2, l2 + count) == last.l2 && hyperstyle_steps(inversion) == last.steps, "C: the same L2");
}

void check_drawing(const HyperstyleSession* session, const HyperstyleInversion* inversion, const hs::Inversion& last) {
  std::vector<std::uint8_t> pixels(last.image.pixels.size());
  check(hyperstyle_synthesize(session, inversion, nullptr, pixels.data()) == HYPERSTYLE_OK, "C: draws");
  check(pixels == last.image.pixels, "C: the same pixels");
  HyperstyleArray codes{};
  hyperstyle_array(inversion, "codes", &codes);
  std::fill(pixels.begin(), pixels.end(), std::uint8_t{0});
  check(hyperstyle_synthesize(session, inversion, &codes, pixels.data()) == HYPERSTYLE_OK, "C: draws codes");
  check(pixels == last.image.pixels, "C: the same pixels again");
  codes.shape[0] = 16, codes.shape[1] = 4;
  check(hyperstyle_synthesize(session, inversion, &codes, pixels.data()) == HYPERSTYLE_ARRAY_ERROR, "C: another width");
  check(std::strstr(hyperstyle_error(), "for [16, 4]. Expected: float32 [N, 8, 8].") != nullptr, "C: got and expected");
  codes.shape[0] = INT64_MAX;
  check(hyperstyle_synthesize(session, inversion, &codes, pixels.data()) == HYPERSTYLE_ARRAY_ERROR, "C: a huge shape");
}

void check_mixes(const HyperstyleSession* session, const HyperstyleInversion* inversion, const hs::Inversion& last) {
  std::vector<std::uint8_t> pixels(last.image.pixels.size());
  HyperstyleMix mix{inversion, 0, 8, 1};
  HyperstyleEdit edit{nullptr, 0, &mix, 1};
  const auto drawn = [&] { return hyperstyle_edit(session, inversion, &edit, 1, pixels.data()); };
  check(drawn() == HYPERSTYLE_OK && pixels == last.image.pixels, "C: mixed with oneself one stays the same");
  check(hyperstyle_between(session, inversion, inversion, 0.5, &edit, pixels.data()) == HYPERSTYLE_OK, "C: on the way");
  mix.end_row = 9;
  check(drawn() == HYPERSTYLE_DIRECTION_ERROR, "C: rows that are not there");
  check(std::strstr(hyperstyle_error(), "Got: 0:9. Expected: FIRST:END inside 0:8.") != nullptr, "C: and which");
  mix = {inversion, 2, 2, 1};
  check(drawn() == HYPERSTYLE_DIRECTION_ERROR, "C: no rows");
  mix = {inversion, 0, 8, std::nan("")};
  check(drawn() == HYPERSTYLE_DIRECTION_ERROR, "C: NaN of another person");
  mix = {nullptr, 0, 8, 1};
  check(drawn() == HYPERSTYLE_ARRAY_ERROR && std::strstr(hyperstyle_error(), "other is null") != nullptr, "C: nobody");
  edit = {nullptr, 0, nullptr, 1};
  check(drawn() == HYPERSTYLE_ARRAY_ERROR, "C: null mixes");
  edit = {nullptr, 0, nullptr, -1};
  check(drawn() == HYPERSTYLE_ARRAY_ERROR, "C: fewer than no mixes");
}

void check_edits(const HyperstyleSession* session, const HyperstyleInversion* inversion, const hs::Inversion& last) {
  std::vector<std::uint8_t> pixels(last.image.pixels.size());
  const HyperstyleEdit nothing{nullptr, 0, nullptr, 0};
  check(hyperstyle_edit(session, inversion, &nothing, 1, pixels.data()) == HYPERSTYLE_OK, "C: an edit of nothing");
  check(pixels == last.image.pixels, "C: is the person");
  const HyperstyleStrength strength{"grin", 1};
  const HyperstyleEdit unknown{&strength, 1, nullptr, 0};
  check(hyperstyle_edit(session, inversion, &unknown, 1, pixels.data()) == HYPERSTYLE_DIRECTION_ERROR, "C: a name");
  check(hyperstyle_edit(session, inversion, nullptr, 0, pixels.data()) == HYPERSTYLE_ARRAY_ERROR, "C: no edits");
  check(hyperstyle_edit(session, inversion, nullptr, 1, pixels.data()) == HYPERSTYLE_ARRAY_ERROR, "C: null edits");
  check(hyperstyle_edit(session, inversion, &nothing, -1, pixels.data()) == HYPERSTYLE_ARRAY_ERROR,
        "C: fewer than none");
  int64_t count = -1;
  check(hyperstyle_direction_count(session, &count) == HYPERSTYLE_OK && count == 0, "C: no directions");
  HyperstyleDirection direction = HYPERSTYLE_DIRECTION;
  check(hyperstyle_direction(session, 0, &direction) == HYPERSTYLE_ARRAY_ERROR, "C: and none by its number");
  direction.struct_size = offsetof(HyperstyleDirection, in_styles) - 1;
  check(hyperstyle_direction(session, 0, &direction) == HYPERSTYLE_ARRAY_ERROR, "C: a direction of an unknown struct");
}

void check_styles(const HyperstyleSession* session, const HyperstyleInversion* inversion, const hs::Inversion& last) {
  HyperstyleSizes sizes = HYPERSTYLE_SIZES;
  check(hyperstyle_sizes(session, &sizes) == HYPERSTYLE_OK && sizes.style_channels == 0, "C: nothing takes styles");
  sizes.struct_size = offsetof(HyperstyleSizes, style_channels);
  sizes.style_channels = -1;
  check(hyperstyle_sizes(session, &sizes) == HYPERSTYLE_OK && sizes.style_channels == -1, "C: sizes of before");
  std::vector<std::uint8_t> pixels(last.image.pixels.size());
  const float one = 1;
  const HyperstyleArray styles{nullptr, &one, 2, {1, 1}};
  const int code = hyperstyle_synthesize_styles(session, inversion, nullptr, &styles, pixels.data());
  check(code == HYPERSTYLE_ARRAY_ERROR, "C: styles of another width");
}

void check_alignment(HyperstyleInversion* inversion, const HyperstyleImage& photo) {
  const auto middle = static_cast<double>(photo.width) / 2, size = middle / 2;
  const double box[4] = {middle - size, middle - size, middle + size, middle + size};
  HyperstylePoint landmarks[HYPERSTYLE_BOX_LANDMARKS];
  check(hyperstyle_landmarks_in(box, landmarks) == HYPERSTYLE_OK, "C: landmarks in a box");
  const double none[4] = {10, 10, 5, 20}, nan[4] = {0, 0, NAN, 1};
  check(hyperstyle_landmarks_in(none, landmarks) == HYPERSTYLE_ALIGNMENT_ERROR, "C: no box");
  check(hyperstyle_landmarks_in(nan, landmarks) == HYPERSTYLE_ALIGNMENT_ERROR, "C: NaN is no box");
  const std::vector<hs::Point> points = hs::landmarks_in({box[0], box[1], box[2], box[3]});
  const hs::ImageView view{photo.data, photo.height, photo.width, 0};
  const hs::Aligned expected = hs::align(view, points, 64);
  std::vector<std::uint8_t> pixels(expected.picture.pixels.size());
  HyperstyleCrop crop{}, kept{};
  check(hyperstyle_align(&photo, landmarks, 5, 64, pixels.data(), &crop) == HYPERSTYLE_OK, "C: aligns");
  check(pixels == expected.picture.pixels, "C: as C++ does");
  check(hyperstyle_align(&photo, landmarks, 4, 64, pixels.data(), nullptr) == HYPERSTYLE_ALIGNMENT_ERROR, "C: no face");
  check(hyperstyle_crop_of(inversion, &kept) == HYPERSTYLE_ALIGNMENT_ERROR, "C: an inversion keeps none");
  check(hyperstyle_keep_crop(inversion, &kept) == HYPERSTYLE_ALIGNMENT_ERROR, "C: nor what is none");
  check(hyperstyle_keep_crop(inversion, &crop) == HYPERSTYLE_OK, "C: but an alignment");
  check(hyperstyle_crop_of(inversion, &kept) == HYPERSTYLE_OK && std::memcmp(&kept, &crop, sizeof crop) == 0,
        "C: which comes back");
  const hs::Image pasted = hs::paste_back(view, expected.picture.view(), expected.crop, 0.2);
  std::vector<std::uint8_t> whole(pasted.pixels.size());
  const HyperstyleImage face{pixels.data(), 64, 64, 0};
  check(hyperstyle_paste_back(&photo, &face, &crop, 0.2, whole.data()) == HYPERSTYLE_OK, "C: pastes back");
  check(whole == pasted.pixels, "C: as C++ does");
  check(hyperstyle_paste_back(&photo, &face, &crop, 0.7, whole.data()) == HYPERSTYLE_ALIGNMENT_ERROR, "C: a feather");
  check(hyperstyle_paste_back(&face, &face, &crop, 0.1, whole.data()) == HYPERSTYLE_ALIGNMENT_ERROR,
        "C: another photo");
}

}  // namespace

void check_c_interface(const char* bundle, const char* method, bool descends, const hs::Image& photo,
                       const hs::Inversion& last) {
  HyperstyleSession* session = nullptr;
  check(hyperstyle_open("/nowhere", nullptr, &session) == HYPERSTYLE_BUNDLE_ERROR && session == nullptr, "C: a code");
  check(std::string(hyperstyle_error()) == "/nowhere is not a bundle. Got: nothing there. Expected: a folder.",
        "C: a text");
  HyperstyleOptions options = HYPERSTYLE_OPTIONS;
  options.threads = 2;
  HyperstyleSettings settings = HYPERSTYLE_SETTINGS;
  settings.rate = 100;
  options.settings = &settings;
  check(hyperstyle_open(bundle, &options, &session) == HYPERSTYLE_ARRAY_ERROR, "C: settings without an optimisation");
  options.method = method;
  check(hyperstyle_open(bundle, &options, &session) == HYPERSTYLE_ARRAY_ERROR, "C: or out of range");
  settings.rate = -1;
  if (method == nullptr) options.settings = nullptr;
  options.struct_size = offsetof(HyperstyleOptions, method);
  check(hyperstyle_open(bundle, &options, &session) == HYPERSTYLE_OK, "C: opens for programs of before");
  hyperstyle_close(session);
  options.struct_size = sizeof options;
  options.generator = "anime";
  const bool own = method == nullptr || std::strcmp(method, "idinvert") == 0;  // no optimisation in its place
  const int unknown = own ? HYPERSTYLE_BUNDLE_ERROR : HYPERSTYLE_ARRAY_ERROR;
  check(hyperstyle_open(bundle, &options, &session) == unknown, "C: no such generator");
  options.generator = nullptr;
  check(hyperstyle_open(bundle, &options, &session) == HYPERSTYLE_OK, "C: opens");
  const HyperstyleImage view{photo.pixels.data(), photo.height, photo.width, 0};
  HyperstyleInversion* inversion = nullptr;
  Seen seen;
  HyperstyleInvertOptions inverting = HYPERSTYLE_INVERT_OPTIONS;
  inverting.steps = static_cast<int32_t>(last.steps);
  inverting.on_step = count_steps;
  inverting.context = &seen;
  check(hyperstyle_invert(session, &view, 1, &inverting, &inversion) == HYPERSTYLE_OK && seen.last == last.steps,
        "C: inverts");
  check(seen.losses == (descends ? last.steps + 1 : 0), "C: an optimisation tells its loss");
  check_sizes(session, last);
  check_arrays(inversion, last);
  check_drawing(session, inversion, last);
  check_edits(session, inversion, last);
  check_mixes(session, inversion, last);
  check_styles(session, inversion, last);
  check_alignment(inversion, view);
  hyperstyle_inversion_free(inversion);
  HyperstyleInversion* several[] = {inversion, inversion};  // freed, as memory that was used before may look
  check(hyperstyle_invert(session, nullptr, 2, &inverting, several) == HYPERSTYLE_ARRAY_ERROR, "C: null");
  check(several[0] == nullptr && several[1] == nullptr, "C: no handles after an error");
  hyperstyle_close(session);
}
