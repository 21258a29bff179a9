#!/bin/sh
# gpu_ffmpeg.sh - for gpu_bundle.sh: an ffmpeg with the filter, for a machine that has none of our packages, and static FFmpeg
# libraries for the trainer. It has the usual containers and codecs, NVDEC and NVENC (opened at run time), libx264 where its
# static library is installed, and needs the C library alone.
#
#     gpu_ffmpeg.sh SOURCE FOLDER       SOURCE: FFmpeg's source with our filter in it, as filter/build-lavfi.sh leaves it
# Output: FOLDER/ffmpeg, FOLDER/lib*/lib*.a. 4 minutes of a CPU; nothing if SOURCE's filter is as it was.
set -eu
source=$(cd "$1" && pwd)
script=$(sha256sum <"$0")
mkdir -p "$2/static"
cd "$2"
stamp="$script $(cd "$source/libavfilter" && cat vf_colorize.c colorize_lavfi_compat.h colorize.h options.def | sha256sum)"
if [ "$stamp" = "$(cat stamp 2>/dev/null)" ]; then exit 0; fi
# The linker finds only these here, so that they are linked statically.
ln -sf "$(pkg-config --variable=libdir zlib)/libz.a" static/
x264=$(pkg-config --variable=libdir x264)/libx264.a || x264=
if [ -e "$x264" ]; then ln -sf "$x264" static/; else x264=; fi
cuda=
pkg-config --exists ffnvcodec && cuda=yes
echo "gpu_ffmpeg: building a portable ffmpeg${x264:+ with libx264}${cuda:+ with NVDEC and NVENC}"
[ -e ffbuild/config.mak ] || "$source/configure" --cc="${CC:-cc}" --extra-version=colorize --enable-gpl --disable-everything \
    --disable-autodetect --disable-doc --disable-debug --disable-network --disable-programs --enable-ffmpeg \
    --pkg-config-flags=--static --enable-pic --enable-zlib ${x264:+--enable-libx264 --enable-encoder=libx264} \
    ${cuda:+--enable-ffnvcodec --enable-cuda --enable-cuvid --enable-nvdec --enable-nvenc} \
    --enable-protocol=file,pipe,md5 --enable-indev=lavfi \
    --enable-demuxer=matroska,mov,avi,rawvideo,yuv4mpegpipe,image2,image_png_pipe,image_jpeg_pipe,image_webp_pipe,image_bmp_pipe \
    --enable-demuxer=image_tiff_pipe,nut,h264,hevc,av1,ivf,mpegvideo,mpegps,mpegts,wav,concat,framecrc \
    --enable-demuxer=image_pgm_pipe,image_ppm_pipe \
    --enable-muxer=matroska,mp4,avi,rawvideo,yuv4mpegpipe,image2,nut,null,framecrc,framemd5,framehash,hash,md5,crc,h264,hevc \
    --enable-decoder=rawvideo,wrapped_avframe,png,mjpeg,webp,bmp,tiff,pgm,ppm,ffv1,mpeg1video,mpeg2video,mpeg4,h264,hevc,vp8,vp9 \
    --enable-decoder=av1,aac,mp3,ac3,pcm_s16le,prores,dnxhd,h264_cuvid,hevc_cuvid,mpeg2_cuvid,vp9_cuvid,av1_cuvid,pgmyuv \
    --enable-hwaccel=h264_nvdec,hevc_nvdec,mpeg2_nvdec,mpeg4_nvdec,vp8_nvdec,vp9_nvdec,av1_nvdec \
    --enable-encoder=rawvideo,wrapped_avframe,png,mjpeg,ffv1,mpeg2video,mpeg4,prores_ks,pcm_s16le,aac,h264_nvenc,hevc_nvenc \
    --enable-parser=h264,hevc,mpegvideo,mpeg4video,vp8,vp9,av1,aac,ac3,png,mjpeg,mpegaudio,webp,bmp \
    --enable-bsf=h264_mp4toannexb,hevc_mp4toannexb,extract_extradata,vp9_superframe,vp9_superframe_split,av1_frame_split,null \
    --enable-filter=colorize,scale,format,null,copy,crop,pad,fps,trim,setpts,setparams,testsrc,testsrc2,color,nullsrc,split \
    --enable-filter=hstack,vstack,overlay,sendcmd,hue,psnr,ssim,showinfo,metadata,signalstats,select,aresample,aformat,anull \
    --enable-filter=atrim,noise \
    --enable-filter=lut,thumbnail,settb,hwupload,hwdownload,hwupload_cuda,yadif,bwdif,transpose,loop,concat,tile,drawbox,gblur \
    >configure.log 2>&1 || { tail -n 5 configure.log >&2; exit 1; }
link="-L$PWD/static -static-libgcc -Wl,--disable-new-dtags,-rpath,'\$\$ORIGIN/../lib'"
make -j"${JOBS:-$(nproc)}" LDEXEFLAGS="$link" >make.log 2>&1 || { tail -n 15 make.log >&2; exit 1; }
strip ffmpeg
echo "$stamp" >stamp
