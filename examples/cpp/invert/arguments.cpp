#include "arguments.hpp"

#include <map>
#include <stdexcept>

namespace {

constexpr const char* usage =
    "usage: invert BUNDLE PHOTO... [-o FOLDER] [--steps N] [--threads N] [--backend NAME] [--device N] [--trust-engines]\n"
    "Writes NAME.png, NAME.strip.png (input, first reconstruction, every step) and NAME.inversion for each photo.";

int number(const std::string& option, const std::string& text) {
  std::size_t used = 0;
  int value = -1;
  try {
    value = std::stoi(text, &used);
  } catch (const std::exception&) {
    used = 0;
  }
  if (used == 0 || used != text.size() || value < 0) throw std::invalid_argument(option + " takes a number, not " + text);
  return value;
}

}  // namespace

Arguments parse(int argc, char** argv) {
  Arguments arguments;
  std::map<std::string, int*> numbers{{"--steps", &arguments.options.steps},
                                      {"--threads", &arguments.options.threads},
                                      {"--device", &arguments.options.device}};
  std::map<std::string, std::string*> texts{{"-o", &arguments.folder}, {"--backend", &arguments.options.backend}};
  for (int at = 1; at < argc; ++at) {
    const std::string word = argv[at];
    if (word == "--trust-engines") {
      arguments.options.trust_engines = true;
    } else if (numbers.count(word) + texts.count(word) > 0) {
      if (++at == argc) throw std::invalid_argument(word + " takes a value");
      if (numbers.count(word) > 0) {
        *numbers[word] = number(word, argv[at]);
      } else {
        *texts[word] = argv[at];
      }
    } else if (!word.empty() && word[0] == '-') {
      throw std::invalid_argument("no such option: " + word + "\n" + usage);
    } else if (arguments.bundle.empty()) {
      arguments.bundle = word;
    } else {
      arguments.photos.push_back(word);
    }
  }
  if (arguments.photos.empty()) throw std::invalid_argument(usage);
  return arguments;
}
