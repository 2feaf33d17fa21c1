// A backend on the host that runs the portable graphs by name.
#ifndef HYPERSTYLE_DEPLOY_HOST_HPP
#define HYPERSTYLE_DEPLOY_HOST_HPP

#include "backend.hpp"

namespace hyperstyle {

class HostBackend : public Backend {
 public:
  explicit HostBackend(const Bundle& bundle);

  const Weights& untuned() const override { return untuned_; }
  Array encode(const Array& image) override;
  Array predict(const Array& image, const Array& reconstruction) override;
  Weights tune(const Array& offset_codes, int steps) override;
  std::pair<Array, Array> synthesize(const Array& codes, const Weights& weights) override;
  Array squared_error(const Array& left, const Array& right) override;
  Array pixels(const Array& image) override;
  Array add(const Array& left, const Array& right) override;
  Array concatenate(const std::vector<Array>& rows) override;
  Array upload(const Array& host) override { return host; }
  Array download(const Array& array) override { return array; }
  std::vector<Array> compute(const WorkKey& key, const Work& work, const Array& host) override;

 protected:
  // Run a graph; its outputs by name. Throws BackendError.
  virtual Arrays run(const std::string& stage, const Arrays& inputs) = 0;

  const Bundle bundle_;

 private:
  Weights untuned_;
  Arrays noises_;
};

}  // namespace hyperstyle

#endif
