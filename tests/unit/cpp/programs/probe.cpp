// Does what each line of its input says - a verb and paths, between tabs - and prints "code<tab>text" for it.
#include <algorithm>
#include <functional>
#include <iostream>
#include <map>
#include <sstream>

#include "bundle.hpp"
#include "edits.hpp"
#include "files.hpp"
#include "hyperstyle_deploy/runtime.h"
#include "hyperstyle_deploy/runtime.hpp"
#include "images.hpp"
#include "methods/method.hpp"
#include "states.hpp"

namespace {

using Words = std::vector<std::string>;

void write_pixels(const hyperstyle::Image& image, const std::string& path) {
  hyperstyle::write_atomically(path, [&](std::FILE* file) {
    const std::int32_t sizes[] = {static_cast<std::int32_t>(image.height), static_cast<std::int32_t>(image.width)};
    hyperstyle::write_all(file, sizes, sizeof sizes);
    hyperstyle::write_all(file, image.pixels.data(), image.pixels.size());
  });
}

// A photo, landmarks (x and y of each between spaces) or four edges of a box between commas, a size; the picture and the
// record go to files.
void align(const Words& words) {
  std::vector<hyperstyle::Point> landmarks;
  std::string places = words.at(2);
  const bool is_box = places.find(',') != std::string::npos;
  std::replace(places.begin(), places.end(), ',', ' ');
  std::istringstream numbers(places);
  for (std::string x, y; numbers >> x >> y;) landmarks.push_back({std::stod(x), std::stod(y)});
  if (is_box) {
    landmarks = hyperstyle::landmarks_in({landmarks.at(0).x, landmarks[0].y, landmarks.at(1).x, landmarks[1].y});
  }
  const hyperstyle::Image photo = hyperstyle::read_photo(words.at(1));
  const hyperstyle::Aligned aligned = hyperstyle::align(photo.view(), landmarks, std::stol(words.at(3)));
  write_pixels(aligned.picture, words.at(4));
  const std::string text = hyperstyle::Crop::parse(aligned.crop.text()).text();
  hyperstyle::write_atomically(words.at(5),
                               [&](std::FILE* file) { hyperstyle::write_all(file, text.data(), text.size()); });
}

// A photo, a face, a record or an inversion's file, a feather; the photo with the face goes to a file.
void paste(const Words& words) {
  const hyperstyle::Image photo = hyperstyle::read_photo(words.at(1)), face = hyperstyle::read_photo(words.at(2));
  const bool is_text = words.at(3).front() == '{';
  const hyperstyle::Crop crop =
      is_text ? hyperstyle::Crop::parse(words.at(3)) : hyperstyle::crop_of(hyperstyle::Inversion::load(words.at(3)));
  write_pixels(hyperstyle::paste_back(photo.view(), face.view(), crop, std::stod(words.at(4))), words.at(5));
}

const std::map<std::string, std::function<void(const Words&)>> verbs{
    {"align", align},
    {"paste", paste},
    {"draw", draw},
    {"optimise",
     [](const Words& words) {
       hyperstyle::Options options;
       options.method = words.at(2);
       options.steps = std::stoi(words.at(5));
       const hyperstyle::Session session(hyperstyle::Bundle::open(words.at(1)), options);
       session.invert(hyperstyle::read_photo(words.at(3)).view()).save(words.at(4));
     }},
    {"crop", [](const Words& words) { hyperstyle::Crop::parse(words.at(1)); }},
    {"bundle", [](const Words& words) { hyperstyle::Bundle::open(words.at(1)); }},
    {"constants",
     [](const Words& words) {
       const hyperstyle::Bundle bundle = hyperstyle::Bundle::open(words.at(1));
       hyperstyle::constants(bundle, *hyperstyle::make_method(bundle.manifest()));
     }},
    {"session",  // a bundle, a backend, perhaps an optimisation, perhaps a generator
     [](const Words& words) {
       hyperstyle::Options options;
       options.threads = 1;
       if (words.size() > 4) options.generator = words[4];
       options.backend = words.at(2);
       if (words.size() > 3) options.method = words[3];
       const hyperstyle::Session session(hyperstyle::Bundle::open(words.at(1)), options);
     }},
    {"invert",
     [](const Words& words) {
       const hyperstyle::Session session(hyperstyle::Bundle::open(words.at(1)));
       session.invert(hyperstyle::read_photo(words.at(2)).view());
     }},
    {"input",
     [](const Words& words) {
       const hyperstyle::ImageSpec spec{
           words.at(3), std::stol(words.at(4)), std::stol(words.at(5)), std::stol(words.at(6)), {}};
       const hyperstyle::Array input = hyperstyle::network_input({hyperstyle::read_photo(words.at(1)).view()}, spec);
       hyperstyle::write_atomically(words.at(2),
                                    [&](std::FILE* file) { hyperstyle::write_all(file, input.data, input.bytes()); });
     }},
    {"inversion", [](const Words& words) { hyperstyle::Inversion::load(words.at(1)); }},
    {"states", write_states},
    {"resave", [](const Words& words) { hyperstyle::Inversion::load(words.at(1)).save(words.at(2)); }},
    {"direction", [](const Words& words) { hyperstyle::Direction::load(words.at(1)); }},
    {"directions", directions},
    {"edit", edit},
    {"styles", styles},
    {"between", between},
    {"photo", [](const Words& words) { write_pixels(hyperstyle::read_photo(words.at(1)), words.at(2)); }},
    {"png", [](const Words& words) { hyperstyle::write_png(words.at(2), hyperstyle::read_photo(words.at(1)).view()); }},
    {"resize",
     [](const Words& words) {
       const hyperstyle::Image photo = hyperstyle::read_photo(words.at(1));
       write_pixels(hyperstyle::resize(photo.view(), std::stol(words.at(3)), std::stol(words.at(4))), words.at(2));
     }},
};

std::string one_line(const std::string& text) {
  std::string line;
  for (const char character : text) line += character == '\n' ? "\\n" : std::string(1, character);
  return line;
}

}  // namespace

int main() {
  for (std::string line; std::getline(std::cin, line);) {
    Words words;
    std::istringstream stream(line);
    for (std::string word; std::getline(stream, word, '\t');) words.push_back(word);
    try {
      verbs.at(words.at(0))(words);
      std::cout << "0\t" << std::endl;
    } catch (const hyperstyle::Error& error) {
      std::cout << static_cast<int>(error.code()) << "\t" << one_line(error.what()) << std::endl;
    }
  }
}
