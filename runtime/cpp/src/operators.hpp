// The operators that a graph of a bundle may have; the twin of runtime/bundle/operators.py, which says why.
#ifndef HYPERSTYLE_DEPLOY_OPERATORS_HPP
#define HYPERSTYLE_DEPLOY_OPERATORS_HPP

#include <set>
#include <string>

namespace hyperstyle {

inline bool is_operator(const std::string& domain, const std::string& name) {
  static const std::set<std::string> onnx = {
      "Abs", "Add", "And", "AveragePool", "BatchNormalization", "Cast", "Clip", "Concat", "Constant", "Conv", "ConvTranspose",
      "DepthToSpace", "DequantizeLinear", "Div", "DynamicQuantizeLinear", "Equal", "Exp", "Expand", "Flatten", "Gather",
      "GatherElements", "GatherND", "Gemm", "GlobalAveragePool", "Greater", "GreaterOrEqual", "Identity",
      "InstanceNormalization", "LeakyRelu", "Less", "LessOrEqual", "Log", "MatMul", "MatMulInteger", "Max",
      "MaxPool", "Min", "Mul", "Neg", "Not", "Or", "PRelu", "Pad", "Pow", "QuantizeLinear", "Reciprocal", "ReduceL2", "ReduceMax",
      "ReduceMean", "ReduceMin", "ReduceSum", "ReduceSumSquare", "Relu", "Reshape", "Shape", "Sigmoid", "Sign",
      "Slice", "Softplus", "SpaceToDepth", "Split", "Sqrt", "Squeeze", "Sub", "Sum", "Tanh", "Transpose",
      "Unsqueeze", "Where"};
  static const std::set<std::string> microsoft = {
      "DynamicQuantizeMatMul", "MatMulNBits"};
  if (domain == "com.microsoft") return microsoft.count(name) > 0;
  return domain.empty() && onnx.count(name) > 0;
}

}  // namespace hyperstyle

#endif
