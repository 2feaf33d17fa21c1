// A backend whose graphs are timed.
#ifndef HYPERSTYLE_DEPLOY_TIMED_BACKEND_HPP
#define HYPERSTYLE_DEPLOY_TIMED_BACKEND_HPP

#include <utility>

#include "backends/backend.hpp"

namespace hyperstyle {

// Passes everything on to `inner` and adds up the seconds that its graphs take. For one thread, and backends that
// record nothing.
class TimedBackend : public Backend {
 public:
  explicit TimedBackend(Backend& inner) : inner_(inner) {}

  // Seconds in graphs since the last call.
  double take() { return std::exchange(seconds_, 0); }

  const std::string& name() const override { return inner_.name(); }
  Arrays run(const std::string& graph, const Arrays& inputs) override;
  const Array& constant(const std::string& name) const override { return inner_.constant(name); }
  Array squared_error(const Array& left, const Array& right) override { return inner_.squared_error(left, right); }
  Array pixels(const Array& image) override { return inner_.pixels(image); }
  Array add(const Array& left, const Array& right) override { return inner_.add(left, right); }
  Array concatenate(const std::vector<Array>& rows) override { return inner_.concatenate(rows); }
  Variable adam(const Variable& variable, const Array& rates) override { return inner_.adam(variable, rates); }
  Array upload(const Array& host) override { return inner_.upload(host); }
  Array download(const Array& array) override { return inner_.download(array); }
  Arrays replay(const std::string&, const Work& work, const Arrays& inputs) override { return work(inputs); }
  bool replays() const override { return false; }

 private:
  Backend& inner_;
  double seconds_ = 0;
};

// Seconds that a clock that is never set has counted.
double now();

}  // namespace hyperstyle

#endif
