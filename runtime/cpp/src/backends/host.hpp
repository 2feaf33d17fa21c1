// A backend on the host that runs the portable graphs by name.
#ifndef HYPERSTYLE_DEPLOY_HOST_HPP
#define HYPERSTYLE_DEPLOY_HOST_HPP

#include "backend.hpp"

namespace hyperstyle {

class HostBackend : public Backend {
 public:
  HostBackend(const Bundle& bundle, const Method& method);

  const Array& constant(const std::string& name) const override;
  Array squared_error(const Array& left, const Array& right) override;
  Array pixels(const Array& image) override;
  Array add(const Array& left, const Array& right) override;
  Array concatenate(const std::vector<Array>& rows) override;
  Variable adam(const Variable& variable, const Array& rates) override;
  Array upload(const Array& host) override { return host; }
  Array download(const Array& array) override { return array; }
  Arrays replay(const std::string& name, const Work& work, const Arrays& inputs) override;
  bool replays() const override { return false; }

 protected:
  const Bundle bundle_;
  const Arrays constants_;
};

}  // namespace hyperstyle

#endif
