#!/bin/sh
# batch_shelf.sh - an evening's shelf: 12 films of different kinds, one of them damaged, from one jobs.yaml; killed three times,
# resumed, verified and reported.
set -u
suite=batch_shelf
. "$SRC/tests/batch_setup.sh"

mkdir films films/scans
printf '1\n00:00:00,100 --> 00:00:00,400\n- Hello.\n' >text.srt
grey() {
    size=$1 rate=$2 format=$3; shift 3
    ffmpeg -nostdin -v error -y -f lavfi -i "testsrc2=s=$size:r=$rate:d=0.7,format=$format" "$@"
}
sine="-f lavfi -i sine=d=0.7"
grey 96x72 25 yuv420p $sine -c:v libx264 -bf 2 -c:a aac "films/01 newsreel, 1938.mp4"
grey 96x72 18 gray $sine -i text.srt -map 0 -map 1 -map 2 -c:v ffv1 -c:a flac -c:s srt films/02.mkv
grey 128x72 24000/1001 yuv422p10 $sine -timecode 10:00:00:00 -c:v prores_ks -c:a pcm_s24le films/03.mov
grey 96x72 25 yuv420p $sine -c:v mpeg2video -q:v 2 -c:a mp2 films/04.mpg
grey 96x72 25 "yuv420p,select='not(eq(mod(n,5),2))'" $sine -fps_mode passthrough -c:v ffv1 -c:a libopus films/05.mkv
grey 95x61 24 yuv444p -c:v ffv1 films/06.mkv
grey 96x72 24 gray16 -c:v ffv1 films/07.mkv
grey 96x72 24 gbrp10 films/scans/reel_%04d.dpx
grey 320x180 25 yuv420p $sine -c:v libx264 -c:a aac films/09.mp4
grey 128x96 16 "yuv420p,drawbox=h=16:c=black:t=fill" -c:v mjpeg films/10.avi
grey 96x72 25 yuv420p -g 5 -bsf:v noise=amount=20000:dropamount=0 -c:v mpeg4 films/11.avi
film 4.2 format=yuv420p -f lavfi -i sine=d=4 -c:v libx264 -g 30 -c:a aac films/12.mp4
cat >jobs.yaml <<'Y'
parallel: 2
defaults: {model: model.bin, out: colour, options: {threads: 1}}
jobs:
- films/01 newsreel, 1938.mp4
- {in: films/02.mkv, options: {strength: 0.8}}
- {in: films/03.mov, preset: prores-hq}
- films/04.mpg
- films/05.mkv
- films/06.mkv
- films/07.mkv
- {in: films/scans, rate: 18, preset: tiff, out: colour/scans}
- {in: films/09.mp4, preset: dnxhr-hqx}
- {in: films/10.avi, preset: h264, out: access/10.mp4}
- {in: films/11.avi, damage: keep}
- {in: films/12.mp4, segments: 48, options: {stabilize: 0, bars: off}}
Y
for seconds in 3 6 4; do
    "$BUILD/colorize-batch" run jobs.yaml >out 2>err & pid=$!
    sleep $seconds
    kill -9 $pid 2>/dev/null
    wait $pid 2>/dev/null
done
check run batch run jobs.yaml
check all_done says err " 0 failed, 0 quarantined"
batch status jobs.yaml
check status says out "12 done"
batch history jobs.yaml
check each_once [ "$(grep -c ' done ' out)" = 12 ]
check sound [ "$(for f in 01 02 04 05; do entries a codec_name colour/$f*.mkv; echo; done | xargs)" = "aac flac mp2 opus" ]
check subtitles [ "$(entries s codec_name colour/02.mkv)" = subrip ]
check timecode says colour/03.mov.json '"lost": []'
check rates [ "$(entries v avg_frame_rate colour/02.mkv) $(entries v avg_frame_rate colour/03.mov)" = "18/1 24000/1001" ]
check depth [ "$(entries v pix_fmt colour/07.mkv) $(entries v pix_fmt colour/06.mkv)" = "yuv444p16le yuv444p" ]
check pictures [ "$(find colour/scans -name '*.tif' | wc -l)" = 17 ]
check mxf [ "$(entries v codec_name,pix_fmt colour/09.mxf)" = dnxhd,yuv422p10le ]
check access [ "$(entries v codec_name,pix_fmt access/10.mp4)" = h264,yuv420p ]
check damage_is_noted [ -n "$(sed -n '/"damage": "./p' colour/11.mkv.json)" ]
check verify batch verify colour/*.m?? colour/scans access/10.mp4
check verified_all [ "$(grep -c 'as it was made' out)" = 12 ]
check report batch report jobs.yaml --out report.html
check report_has_all_pictures [ "$(grep -c 'src="data:image/jpeg;base64,/9j/' report.html)" = 12 ]

echo "$cases cases, $failed failed"
[ $failed = 0 ]
