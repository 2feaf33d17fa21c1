// The C interface to directions and edits.
#include <cstddef>

#include "c_handles.hpp"

using hyperstyle::guarded;
using hyperstyle::known_part;
using hyperstyle::needed;

namespace {

// A caller's list, entry by entry.
template <typename Entry, typename Take>
void each(const Entry* entries, std::int64_t count, const char* name, Take take) {
  if (count < 0) {
    throw hyperstyle::ArrayError(std::string(name) + " are counted wrongly. Got: " + std::to_string(count) +
                                 ". Expected: 0 or more.");
  }
  for (std::int64_t at = 0; at < count; ++at) take((&needed(entries, name))[at]);
}

hyperstyle::Edit edit_of(const HyperstyleEdit& given) {
  hyperstyle::Edit edit;
  each(given.strengths, given.count, "strengths", [&](const HyperstyleStrength& one) {
    edit.push_back({std::string(&needed(one.direction, "direction")), one.strength});
  });
  each(given.mixes, given.mix_count, "mixes", [&](const HyperstyleMix& one) {
    edit.push_back({hyperstyle::Mix{needed(one.other, "other").inversion, one.first_row, one.end_row}, one.strength});
  });
  return edit;
}

}  // namespace

int hyperstyle_direction(const HyperstyleSession* session, int64_t index, HyperstyleDirection* direction) {
  return guarded([&] {
    const HyperstyleDirection defaults = HYPERSTYLE_DIRECTION;
    const std::size_t first_version = offsetof(HyperstyleDirection, in_styles);
    const std::size_t asked = known_part(needed(direction, "direction"), defaults, first_version).struct_size;
    const hyperstyle::Session& reading = needed(session, "session").session;
    const std::vector<std::string> names = reading.directions();
    if (index < 0 || index >= static_cast<std::int64_t>(names.size())) {
      throw hyperstyle::ArrayError("index is out of range.");
    }
    const hyperstyle::Direction found = reading.direction(names[static_cast<std::size_t>(index)]);
    HyperstyleDirection told = HYPERSTYLE_DIRECTION;
    std::copy(found.name.begin(), found.name.end(), told.name);
    told.first_row = found.first_row;
    told.end_row = found.end_row;
    told.least_strength = found.least_strength;
    told.greatest_strength = found.greatest_strength;
    told.is_component = found.is_component() ? 1 : 0;
    told.in_styles = found.in_styles ? 1 : 0;
    std::memcpy(direction, &told, std::min(asked, sizeof told));
    direction->struct_size = asked;
  });
}

int hyperstyle_direction_count(const HyperstyleSession* session, int64_t* count) {
  return guarded([&] {
    needed(count, "count") = static_cast<std::int64_t>(needed(session, "session").session.directions().size());
  });
}

int hyperstyle_edit(const HyperstyleSession* session, const HyperstyleInversion* inversion, const HyperstyleEdit* edits,
                    int64_t count, uint8_t* pixels) {
  return guarded([&] {
    std::vector<hyperstyle::Edit> listed;
    each(edits, count, "edits", [&](const HyperstyleEdit& one) { listed.push_back(edit_of(one)); });
    const hyperstyle::Inversion& person = needed(inversion, "inversion").inversion;
    hyperstyle::copy_pixels(needed(session, "session").session.edit(person, listed), &needed(pixels, "pixels"));
  });
}

int hyperstyle_between(const HyperstyleSession* session, const HyperstyleInversion* first,
                       const HyperstyleInversion* second, double time, const HyperstyleEdit* edit, uint8_t* pixels) {
  return guarded([&] {
    const hyperstyle::Inversion& from = needed(first, "first").inversion;
    const hyperstyle::Inversion& to = needed(second, "second").inversion;
    const hyperstyle::Edit changes = edit == nullptr ? hyperstyle::Edit{} : edit_of(*edit);
    hyperstyle::copy_pixels({needed(session, "session").session.between(from, to, time, changes)},
                            &needed(pixels, "pixels"));
  });
}
