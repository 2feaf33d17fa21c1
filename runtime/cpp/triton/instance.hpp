// An instance of a model: a session, and the batches of requests that it is given.
#ifndef HYPERSTYLE_TRITON_INSTANCE_HPP
#define HYPERSTYLE_TRITON_INSTANCE_HPP

#include <cstdint>
#include <memory>
#include <vector>

#include "hyperstyle_deploy/session.hpp"
#include "request.hpp"

namespace hyperstyle::triton {

// One request of a batch on its way: taken from Triton, answered and given back once.
struct Pending {
  TRITONBACKEND_Request* request;
  std::uint64_t started;  // nanoseconds of a steady clock, as Triton's statistics want them
  Asked asked{};
};

class Instance {
 public:
  // Load the bundle in the model's version folder as its configuration says. Throws Error and CallError.
  explicit Instance(TRITONBACKEND_ModelInstance* handle);

  // Answer every request and give it back. What one has wrong costs no other its answer.
  void execute(TRITONBACKEND_Request** requests, std::uint32_t count) const;

 private:
  // Photos with equal settings, together.
  void invert(const std::vector<Pending>& group) const;
  void answer(const Pending& pending, const std::vector<Inversion>& inversions, std::uint64_t begun,
              std::uint64_t ended) const;
  void refuse(const Pending& pending, std::exception_ptr failure) const;
  void give_back(const Pending& pending, bool success, std::uint64_t begun, std::uint64_t ended) const;

  TRITONBACKEND_ModelInstance* handle_;
  std::unique_ptr<Session> session_;
};

}  // namespace hyperstyle::triton

#endif
