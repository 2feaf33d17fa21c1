// pSp (Richardson et al., 2021) and e4e (Tov et al., 2021): one pass of an encoder.
#ifndef HYPERSTYLE_DEPLOY_PSP_HPP
#define HYPERSTYLE_DEPLOY_PSP_HPP

#include "method.hpp"

namespace hyperstyle {

// codes = encoder(x), and no steps. pSp also translates: from sketches and labels.
class OnePass : public Method {
 public:
  using Method::Method;

  std::vector<Signature> graphs() const override;
  bool refines() const override { return false; }
  bool translates() const override { return true; }
  std::vector<State> start(Backend& backend, const Array& photos) const override;
};

}  // namespace hyperstyle

#endif
