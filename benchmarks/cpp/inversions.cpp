// The C++ side of cpp_runtime.py; prints JSON.
//   inversions fresh BUNDLE PHOTO STEPS THREADS            load and invert once: load_s, invert_s, peak_bytes
//   inversions loop BUNDLE PHOTO STEPS THREADS COUNT       whole and in graphs, seconds of every inversion
//   inversions parallel BUNDLE PHOTO STEPS THREADS COUNT SESSIONS   photos a second, a thread each session
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>
#include <thread>

#include "hyperstyle_deploy/runtime.hpp"
#include "images.hpp"
#include "loop.hpp"
#include "timed_backend.hpp"

namespace hs = hyperstyle;

namespace {

struct Arguments {
  std::string mode, bundle, photo;
  int steps, count = 1, sessions = 1;
  hs::Options options;
};

// The largest resident set of this program alone.
long long peak_bytes() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.rfind("VmHWM:", 0) == 0) return std::atoll(line.c_str() + 6) * 1024;
  }
  return 0;
}

hs::InvertOptions steps_of(const Arguments& arguments) {
  hs::InvertOptions options;
  options.steps = arguments.steps;
  return options;
}

void fresh(const Arguments& arguments) {
  const double start = hs::now();
  const hs::Session session(hs::Bundle::open(arguments.bundle), arguments.options);
  const double loaded = hs::now();
  session.invert(hs::read_photo(arguments.photo).view(), steps_of(arguments));
  std::printf("{\"load_s\": %.6f, \"invert_s\": %.6f, \"peak_bytes\": %lld}\n", loaded - start, hs::now() - loaded,
              peak_bytes());
}

// What a session does with a photo, on a backend whose graphs are timed.
void loop(const Arguments& arguments) {
  const hs::Bundle bundle = hs::Bundle::open(arguments.bundle);
  const std::unique_ptr<const hs::Method> method = hs::make_method(bundle.manifest(), arguments.options);
  const std::unique_ptr<hs::Backend> backend = open_backend(bundle, *method, arguments.options);
  hs::TimedBackend timed(*backend);
  const hs::Image photo = hs::read_photo(arguments.photo);
  std::string rows;
  for (int round = -1; round < arguments.count; ++round) {  // the first one warms up
    timed.take();
    const double start = hs::now();
    const hs::Array input = hs::network_input({photo.view()}, bundle.manifest().image);
    hs::Loop inverting(timed, *method, bundle.manifest(), input, arguments.steps, nullptr);
    hs::Step step = inverting.start();
    while (step.index < arguments.steps) step = inverting.advance({});
    timed.pixels(image_of(timed, *method, step, 0));
    const double whole = hs::now() - start;
    if (round < 0) continue;
    rows += (rows.empty() ? "[" : ", [") + std::to_string(whole) + ", " + std::to_string(timed.take()) + "]";
  }
  std::printf("{\"inversions\": [%s]}\n", rows.c_str());
}

void parallel(const Arguments& arguments) {
  const hs::Bundle bundle = hs::Bundle::open(arguments.bundle);
  const hs::Image photo = hs::read_photo(arguments.photo);
  std::vector<hs::Session> sessions;
  for (int index = 0; index < arguments.sessions; ++index) sessions.emplace_back(bundle, arguments.options);
  const auto invert = [&](const hs::Session& session, int count) {
    for (int round = 0; round < count; ++round) session.invert(photo.view(), steps_of(arguments));
  };
  for (const hs::Session& session : sessions) invert(session, 1);  // warms up
  const double start = hs::now();
  std::vector<std::thread> threads;
  for (const hs::Session& session : sessions) threads.emplace_back([&] { invert(session, arguments.count); });
  for (std::thread& thread : threads) thread.join();
  std::printf("{\"photos_per_s\": %.6f}\n", arguments.sessions * arguments.count / (hs::now() - start));
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 6) return 1;
  Arguments arguments{argv[1], argv[2], argv[3], std::atoi(argv[4]), 1, 1, {}};
  arguments.options.threads = std::atoi(argv[5]);
  if (argc > 6) arguments.count = std::atoi(argv[6]);
  if (argc > 7) arguments.sessions = std::atoi(argv[7]);
  try {
    if (arguments.mode == "fresh") fresh(arguments);
    if (arguments.mode == "loop") loop(arguments);
    if (arguments.mode == "parallel") parallel(arguments);
  } catch (const hs::Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 2;
  }
}
