"""The operators that a graph of a bundle may have; `runtime/cpp/src/operators.hpp` is its twin.

Each ends by itself, and makes nothing larger than its inputs or a product of two of them say: no loops, no branches, no
large constant from a small shape. Two are here for gradients all the same, Expand and Pad: like the padding of a
convolution they can ask for more memory than there is.
"""

_ONNX = """
Abs Add And AveragePool BatchNormalization Cast Clip Concat Constant Conv ConvTranspose DepthToSpace
DequantizeLinear Div DynamicQuantizeLinear Equal Exp Expand Flatten Gather GatherElements GatherND Gemm
GlobalAveragePool Greater GreaterOrEqual Identity InstanceNormalization LeakyRelu Less LessOrEqual Log MatMul
MatMulInteger Max MaxPool Min Mul Neg Not Or PRelu Pad Pow QuantizeLinear Reciprocal ReduceL2 ReduceMax ReduceMean
ReduceMin ReduceSum ReduceSumSquare Relu Reshape Shape Sigmoid Sign Slice Softplus SpaceToDepth Split Sqrt
Squeeze Sub Sum Tanh Transpose Unsqueeze Where
"""
_MICROSOFT = "DynamicQuantizeMatMul MatMulNBits"
#: By domain.
OPERATORS = {"": frozenset(_ONNX.split()), "com.microsoft": frozenset(_MICROSOFT.split())}
