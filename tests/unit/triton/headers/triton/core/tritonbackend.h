/* Of the backends' part of Triton's C interface, what runtime/cpp/triton/ uses: see tritonserver.h. */
#pragma once

#include "triton/core/tritonserver.h"

#ifdef __cplusplus
extern "C" {
#endif

#define TRITONBACKEND_API_VERSION_MAJOR 1
#define TRITONBACKEND_API_VERSION_MINOR 17

struct TRITONBACKEND_Backend;
struct TRITONBACKEND_Input;
struct TRITONBACKEND_Model;
struct TRITONBACKEND_ModelInstance;
struct TRITONBACKEND_Output;
struct TRITONBACKEND_Request;
struct TRITONBACKEND_Response;

typedef enum TRITONBACKEND_artifacttype_enum { TRITONBACKEND_ARTIFACT_FILESYSTEM = 0 } TRITONBACKEND_ArtifactType;

typedef struct TRITONSERVER_Error* TritonAnswer;

TritonAnswer TRITONBACKEND_ApiVersion(uint32_t* major, uint32_t* minor);
TritonAnswer TRITONBACKEND_ModelConfig(struct TRITONBACKEND_Model* model, const uint32_t config_version,
                                       struct TRITONSERVER_Message** model_config);
TritonAnswer TRITONBACKEND_ModelRepository(struct TRITONBACKEND_Model* model, TRITONBACKEND_ArtifactType* artifact_type,
                                           const char** location);
TritonAnswer TRITONBACKEND_ModelVersion(struct TRITONBACKEND_Model* model, uint64_t* version);
TritonAnswer TRITONBACKEND_ModelInstanceKind(struct TRITONBACKEND_ModelInstance* instance,
                                             TRITONSERVER_InstanceGroupKind* kind);
TritonAnswer TRITONBACKEND_ModelInstanceDeviceId(struct TRITONBACKEND_ModelInstance* instance, int32_t* device_id);
TritonAnswer TRITONBACKEND_ModelInstanceModel(struct TRITONBACKEND_ModelInstance* instance,
                                              struct TRITONBACKEND_Model** model);
TritonAnswer TRITONBACKEND_ModelInstanceState(struct TRITONBACKEND_ModelInstance* instance, void** state);
TritonAnswer TRITONBACKEND_ModelInstanceSetState(struct TRITONBACKEND_ModelInstance* instance, void* state);
TritonAnswer TRITONBACKEND_ModelInstanceReportStatistics(struct TRITONBACKEND_ModelInstance* instance,
                                                         struct TRITONBACKEND_Request* request, const bool success,
                                                         const uint64_t exec_start_ns, const uint64_t compute_start_ns,
                                                         const uint64_t compute_end_ns, const uint64_t exec_end_ns);
TritonAnswer TRITONBACKEND_ModelInstanceReportBatchStatistics(struct TRITONBACKEND_ModelInstance* instance,
                                                              const uint64_t batch_size, const uint64_t exec_start_ns,
                                                              const uint64_t compute_start_ns,
                                                              const uint64_t compute_end_ns,
                                                              const uint64_t exec_end_ns);

TritonAnswer TRITONBACKEND_RequestInputCount(struct TRITONBACKEND_Request* request, uint32_t* count);
TritonAnswer TRITONBACKEND_RequestInputByIndex(struct TRITONBACKEND_Request* request, const uint32_t index,
                                               struct TRITONBACKEND_Input** input);
TritonAnswer TRITONBACKEND_RequestIsCancelled(struct TRITONBACKEND_Request* request, bool* is_cancelled);
TritonAnswer TRITONBACKEND_RequestParameterCount(struct TRITONBACKEND_Request* request, uint32_t* count);
TritonAnswer TRITONBACKEND_RequestParameter(struct TRITONBACKEND_Request* request, const uint32_t index,
                                            const char** key, TRITONSERVER_ParameterType* type, const void** vvalue);
TritonAnswer TRITONBACKEND_RequestOutputCount(struct TRITONBACKEND_Request* request, uint32_t* count);
TritonAnswer TRITONBACKEND_RequestOutputName(struct TRITONBACKEND_Request* request, const uint32_t index,
                                             const char** output_name);
TritonAnswer TRITONBACKEND_RequestRelease(struct TRITONBACKEND_Request* request, uint32_t release_flags);
TritonAnswer TRITONBACKEND_InputProperties(struct TRITONBACKEND_Input* input, const char** name,
                                           TRITONSERVER_DataType* datatype, const int64_t** shape, uint32_t* dims_count,
                                           uint64_t* byte_size, uint32_t* buffer_count);
TritonAnswer TRITONBACKEND_InputBuffer(struct TRITONBACKEND_Input* input, const uint32_t index, const void** buffer,
                                       uint64_t* buffer_byte_size, TRITONSERVER_MemoryType* memory_type,
                                       int64_t* memory_type_id);
TritonAnswer TRITONBACKEND_ResponseNew(struct TRITONBACKEND_Response** response, struct TRITONBACKEND_Request* request);
TritonAnswer TRITONBACKEND_ResponseDelete(struct TRITONBACKEND_Response* response);
TritonAnswer TRITONBACKEND_ResponseOutput(struct TRITONBACKEND_Response* response, struct TRITONBACKEND_Output** output,
                                          const char* name, const TRITONSERVER_DataType datatype, const int64_t* shape,
                                          const uint32_t dims_count);
TritonAnswer TRITONBACKEND_ResponseSend(struct TRITONBACKEND_Response* response, const uint32_t send_flags,
                                        struct TRITONSERVER_Error* error);
TritonAnswer TRITONBACKEND_OutputBuffer(struct TRITONBACKEND_Output* output, void** buffer,
                                        const uint64_t buffer_byte_size, TRITONSERVER_MemoryType* memory_type,
                                        int64_t* memory_type_id);

/* What a backend gives. */
TritonAnswer TRITONBACKEND_Initialize(struct TRITONBACKEND_Backend* backend);
TritonAnswer TRITONBACKEND_ModelInstanceInitialize(struct TRITONBACKEND_ModelInstance* instance);
TritonAnswer TRITONBACKEND_ModelInstanceFinalize(struct TRITONBACKEND_ModelInstance* instance);
TritonAnswer TRITONBACKEND_ModelInstanceExecute(struct TRITONBACKEND_ModelInstance* instance,
                                                struct TRITONBACKEND_Request** requests, const uint32_t request_count);

#ifdef __cplusplus
}
#endif
