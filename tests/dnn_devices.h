// dnn_devices.h - GPUs as cuDNN wants them described where none is there (CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION; the keys
// that cuDNN 9.19 asks for). Figures: NVIDIA's data sheets and the CUDA programming guide's table of compute capabilities.
#ifndef DNN_DEVICES_H
#define DNN_DEVICES_H

#define CUDA_DEVICE(name, sm, processors, threads_per_sm, ctas, shared, memory, l2, clock, memory_clock) \
    "{\"deviceName\": \"" name "\", \"deviceVer\": " sm ", \"smVersion\": " sm ", \"driverVer\": 13000, \"cudaDeviceId\": 0, " \
    "\"pciDeviceId\": 0, \"isTccDriver\": 0, \"supportCoopLaunch\": 1, \"multiProcessorCount\": " processors ", " \
    "\"warpSize\": 32, \"maxThreadsPerSM\": " threads_per_sm ", \"maxThreadsPerBlock\": 1024, \"maxCtasPerSM\": " ctas ", " \
    "\"maxBlockSize\": [1024, 1024, 64], \"maxGridSize\": [2147483647, 65535, 65535], \"maxRegistersPerSM\": 65536, " \
    "\"regsPerBlock\": 65536, \"maxSharedMemoryPerBlock\": 49152, \"maxSharedMemoryPerBlockOptin\": " shared ", " \
    "\"reservedSharedMemoryPerBlock\": 1024, \"totalGlobalMem\": " memory ", \"l2CacheSize\": " l2 ", " \
    "\"smClockRateKHz\": " clock ", \"memClockRateKHz\": " memory_clock "}"

static const struct { const char *name, *json; } dnn_devices[] = {
    { "sm_80", CUDA_DEVICE("NVIDIA A100", "800", "108", "2048", "32", "166912", "42949672960", "41943040", "1410000",
                           "1215000") },
    { "sm_90", CUDA_DEVICE("NVIDIA H200", "900", "132", "2048", "32", "232448", "150754820096", "62914560", "1980000",
                           "3201000") },
    { "sm_120", CUDA_DEVICE("NVIDIA GeForce RTX 5090", "1200", "170", "1536", "24", "101376", "34190458880", "100663296",
                            "2407000", "14001000") },
};
#endif
