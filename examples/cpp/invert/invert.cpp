// Photos in, PNGs, strips and inversions out, with progress and timings. Ctrl-C ends the work and leaves whole files.
#include <chrono>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <hyperstyle_deploy/runtime.hpp>
#include <stdexcept>

#include "arguments.hpp"
#include "strip.hpp"

namespace {

constexpr std::int64_t most_pictures = 12;  // of steps in a strip

hyperstyle::Cancellation cancellation;
volatile std::sig_atomic_t signal_number = 0;

void on_signal(int number) {
  signal_number = number;
  cancellation.cancel();
}

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

void print_step(const hyperstyle::StepView& step, double seconds) {
  std::printf("  step %lld", static_cast<long long>(step.index));
  if (step.l2 != nullptr) std::printf("  loop L2 %.6f", step.l2[0]);
  for (const auto& [term, loss] : step.losses[0]) std::printf("  %s %.6f", term.c_str(), loss);
  std::printf("  %.2f s\n", seconds);
  std::fflush(stdout);
}

void invert(const hyperstyle::Session& session, const Arguments& arguments, const std::string& path) {
  const hyperstyle::ImageSpec& size = session.manifest().image;
  const hyperstyle::Image photo = hyperstyle::read_photo(path);
  std::vector<hyperstyle::Image> pictures{hyperstyle::resize(photo.view(), size.input_height, size.input_width)};
  const auto start = std::chrono::steady_clock::now();
  hyperstyle::InvertOptions options;
  options.cancellation = &cancellation;
  options.until_gain = arguments.until_gain;
  const std::int64_t apart = (session.steps() + most_pictures - 1) / most_pictures;
  options.on_step = [&](const hyperstyle::StepView& step) {
    if (step.index == 0 || step.index % apart == 0) {
      pictures.push_back(picture(step.reconstruction(), size.input_height, size.input_width));
    }
    print_step(step, seconds_since(start));
    return true;
  };
  const hyperstyle::Inversion inversion = session.invert(photo.view(), options);
  const std::string base = (std::filesystem::path(arguments.folder) / std::filesystem::path(path).stem()).string();
  hyperstyle::write_png(base + ".png", inversion.image.view());
  hyperstyle::write_png(base + ".strip.png", strip(pictures).view());
  inversion.save(base + ".inversion", arguments.stored);
}

int run(const Arguments& arguments) {
  const auto start = std::chrono::steady_clock::now();
  const hyperstyle::Session session(hyperstyle::Bundle::open(arguments.bundle), arguments.options);
  std::printf("%s on %s, loaded in %.2f s\n", session.method().c_str(), session.backend().c_str(),
              seconds_since(start));
  std::filesystem::create_directories(arguments.folder);
  int failed = 0;
  for (const std::string& photo : arguments.photos) {
    std::printf("%s\n", photo.c_str());
    try {
      invert(session, arguments, photo);
    } catch (const hyperstyle::ImageError& error) {
      std::fprintf(stderr, "%s\n", error.what());  // one bad photo does not stop the others
      ++failed;
    }
  }
  return failed > 0 ? 1 : 0;
}

}  // namespace

int main(int argc, char** argv) {
  std::signal(SIGINT, on_signal);
  std::signal(SIGTERM, on_signal);
  try {
    return run(parse(argc, argv));
  } catch (const std::invalid_argument& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 2;
  } catch (const hyperstyle::Cancelled& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 128 + signal_number;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 2;
  }
}
