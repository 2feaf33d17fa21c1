#include "arguments.hpp"

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <map>
#include <stdexcept>

namespace {

const char* const usage =
    "usage: invert BUNDLE PHOTO... [-o FOLDER] [--steps N] [--until-gain SHARE] [--threads N] [--backend NAME]\n"
    "              [--device N] [--trust-engines] [--generator NAME]\n"
    "              [--method projection|pti] [--seed N] [--rate NUMBER] [--space w|w+] [--locality] [--until-lpips NUMBER]\n"
    "              [--pivot FILE.inversion] [--loss TERM=WEIGHT] [--store float32|float16|int8]\n"
    "Writes NAME.png, NAME.strip.png (input, first reconstruction, every step) and NAME.inversion for each photo.\n"
    "Exit status: 0 all photos are done, 1 some failed, 2 nothing could be run, 130 interrupted, 143 terminated.";

double number(const std::string& option, const std::string& text) {
  std::size_t used = 0;
  double value = -1;
  try {
    value = std::stod(text, &used);
  } catch (const std::exception&) {
    used = 0;
  }
  if (used == 0 || used != text.size() || !(value >= 0)) {
    throw std::invalid_argument(option + " takes a number, not " + text);
  }
  return value;
}

int whole_number(const std::string& option, const std::string& text) {
  const double value = number(option, text);
  if (value > 1'000'000 || value != static_cast<int>(value)) {
    throw std::invalid_argument(option + " takes a whole number, not " + text);
  }
  return static_cast<int>(value);
}

// "TERM=WEIGHT".
void set_weight(std::map<std::string, double>& loss, const std::string& option, const std::string& text) {
  const std::size_t equals = text.find('=');
  if (equals == std::string::npos) throw std::invalid_argument(option + " takes TERM=WEIGHT, not " + text);
  loss[text.substr(0, equals)] = number(option, text.substr(equals + 1));
}

}  // namespace

Arguments parse(int argc, char** argv) {
  Arguments arguments;
  using Take = std::function<void(const std::string& option, const std::string& value)>;
  const auto whole = [](int& target) -> Take {
    return [&target](const std::string& option, const std::string& value) { target = whole_number(option, value); };
  };
  const auto settings = [&]() -> hyperstyle::Settings& {
    if (!arguments.options.settings) arguments.options.settings.emplace();
    return *arguments.options.settings;
  };
  const std::map<std::string, Take> options{
      {"--method", [&](const std::string&, const std::string& value) { arguments.options.method = value; }},
      {"--generator", [&](const std::string&, const std::string& value) { arguments.options.generator = value; }},
      {"--store", [&](const std::string&, const std::string& value) { arguments.stored = value; }},
      {"--space", [&](const std::string&, const std::string& value) { settings().space = value; }},
      {"--seed",
       [&](const std::string& option, const std::string& value) {
         settings().seed = static_cast<std::uint64_t>(whole_number(option, value));
       }},
      {"--rate", [&](const std::string& option, const std::string& value) { settings().rate = number(option, value); }},
      {"--until-lpips",
       [&](const std::string& option, const std::string& value) { settings().until_lpips = number(option, value); }},
      {"--loss",
       [&](const std::string& option, const std::string& value) { set_weight(settings().loss, option, value); }},
      {"--pivot",
       [&](const std::string&, const std::string& value) {
         settings().pivot = hyperstyle::Inversion::load(value).codes();
       }},
      {"-o", [&](const std::string&, const std::string& value) { arguments.folder = value; }},
      {"--backend", [&](const std::string&, const std::string& value) { arguments.options.backend = value; }},
      {"--until-gain",
       [&](const std::string& option, const std::string& value) { arguments.until_gain = number(option, value); }},
      {"--steps", whole(arguments.options.steps)},
      {"--threads", whole(arguments.options.threads)},
      {"--device", whole(arguments.options.device)}};
  for (int at = 1; at < argc; ++at) {
    const std::string word = argv[at];
    const auto option = options.find(word);
    if (word == "--help" || word == "-h") {
      std::puts(usage);
      std::exit(0);
    } else if (word == "--trust-engines") {
      arguments.options.trust_engines = true;
    } else if (word == "--locality") {
      settings().locality = true;
    } else if (option != options.end()) {
      if (++at == argc) throw std::invalid_argument(word + " takes a value");
      option->second(word, argv[at]);
    } else if (!word.empty() && word[0] == '-') {
      throw std::invalid_argument("no such option: " + word + "\n" + usage);
    } else if (arguments.bundle.empty()) {
      arguments.bundle = word;
    } else {
      arguments.photos.push_back(word);
    }
  }
  if (arguments.photos.empty()) throw std::invalid_argument(usage);
  for (const std::string& photo : arguments.photos) {  // before the model is loaded
    if (!std::filesystem::exists(photo)) throw std::invalid_argument("There is no " + photo + ". Expected: photos.");
  }
  return arguments;
}
