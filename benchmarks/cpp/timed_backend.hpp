// A backend whose stages are timed.
#ifndef HYPERSTYLE_DEPLOY_TIMED_BACKEND_HPP
#define HYPERSTYLE_DEPLOY_TIMED_BACKEND_HPP

#include "backends/backend.hpp"

namespace hyperstyle {

// Passes everything on to `inner` and adds up the seconds that its stages take. For one thread.
class TimedBackend : public Backend {
 public:
  explicit TimedBackend(Backend& inner) : inner_(inner) {}

  // Seconds in stages since the last call.
  double take() { return std::exchange(seconds_, 0); }

  const std::string& name() const override { return inner_.name(); }
  const Weights& untuned() const override { return inner_.untuned(); }
  Array encode(const Array& image) override;
  Array predict(const Array& image, const Array& reconstruction) override;
  Weights tune(const Array& offset_codes, int steps) override;
  std::pair<Array, Array> synthesize(const Array& codes, const Weights& weights) override;
  Array squared_error(const Array& left, const Array& right) override { return inner_.squared_error(left, right); }
  Array pixels(const Array& image) override { return inner_.pixels(image); }
  Array add(const Array& left, const Array& right) override { return inner_.add(left, right); }
  Array concatenate(const std::vector<Array>& rows) override { return inner_.concatenate(rows); }
  Array upload(const Array& host) override { return inner_.upload(host); }
  Array download(const Array& array) override { return inner_.download(array); }
  std::vector<Array> compute(const WorkKey& key, const Work& work, const Array& host) override {
    return inner_.compute(key, work, host);
  }

 private:
  Backend& inner_;
  double seconds_ = 0;
};

// Seconds that a clock that is never set has counted.
double now();

}  // namespace hyperstyle

#endif
