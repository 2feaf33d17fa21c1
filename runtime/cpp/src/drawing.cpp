#include "drawing.hpp"

#include <algorithm>
#include <cmath>

#include "channels.hpp"
#include "directions.hpp"
#include "hyperstyle_deploy/errors.hpp"
#include "kept.hpp"
#include "loop.hpp"
#include "text.hpp"

namespace hyperstyle {
namespace {

// Rows [N, ...] that a caller gives as an array; a single one may come without its axis.
Array checked_rows(const std::string& name, const Floats& given, const Shape& row) {
  Shape shape = given.shape;
  if (shape.size() == row.size()) shape.insert(shape.begin(), 1);
  const auto size = static_cast<std::size_t>(count(row));
  const bool fits = shape.size() == row.size() + 1 && shape[0] > 0 && std::equal(row.begin(), row.end(), shape.begin() + 1);
  // The count of values comes first: it keeps the product of the sizes within 64 bits.
  if (!fits || given.values.size() % size != 0 || given.values.size() / size != static_cast<std::size_t>(shape[0])) {
    std::string expected;
    for (const std::int64_t side : row) expected += ", " + std::to_string(side);
    throw ArrayError(Message(name + " has the wrong shape")
                         .got(std::to_string(given.values.size()) + " values for " + repr(given.shape))
                         .expected("float32 [N" + expected + "]"));
  }
  if (!std::all_of(given.values.begin(), given.values.end(), [](float value) { return std::isfinite(value); })) {
    throw ArrayError(Message(name + " has NaN or Inf in it").expected("finite numbers"));
  }
  const Array rows = host_array(Dtype::float32, shape);
  std::copy(given.values.begin(), given.values.end(), static_cast<float*>(rows.data));
  return rows;
}

}  // namespace

std::vector<Image> drawn(const Runner& runner, const Person& person, const Floats& codes, const Floats& styles) {
  const Manifest& manifest = runner.bundle.manifest();
  const Method& method = *runner.method;
  Backend& backend = *runner.backend;
  const Array batch = checked_rows("codes", codes, {manifest.generator.styles, manifest.generator.width});
  Arrays given;
  std::string graph = batch.shape[0] == 1 ? method.drawing_one() : method.drawing();
  if (!styles.shape.empty() || !styles.values.empty()) {
    const Array added = checked_rows("styles", styles, {manifest.generator.channels()});
    if (added.shape[0] != batch.shape[0]) {
      throw ArrayError(Message("styles has the wrong shape")
                           .got(std::to_string(added.shape[0]) + " rows")
                           .expected(std::to_string(batch.shape[0]) + ", one for each of the codes"));
    }
    graph = styled_graph(manifest, method);
    given["styles"] = backend.upload(added);
  }
  const State state = uploaded_state(backend, method, person.inversion);
  given.merge(own_weights(backend, method, state, person.steps));
  given["codes"] = backend.upload(batch);
  const Array image = backend.run(graph, given).at("image");
  std::vector<Image> images;
  for (const Array& pixels : backend.download(backend.pixels(image)).rows()) images.push_back(image_of(pixels));
  return images;
}

std::vector<Image> drawn_edits(const Runner& runner, const Person& person, const std::vector<Edit>& edits) {
  return drawn(runner, person, edited_codes(person.inversion.codes(), edits), edited_styles(edits));
}

Image image_of(const Array& pixels) {
  const auto* first = static_cast<const std::uint8_t*>(pixels.data);
  return {pixels.shape[1], pixels.shape[2], {first, first + pixels.bytes()}};
}

}  // namespace hyperstyle
