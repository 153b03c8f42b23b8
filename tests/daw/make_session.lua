-- ardour7-lua make_session.lua DIR NAME RATE TRACK CHANNELS: a new session with one empty track.
AudioEngine:set_backend ("None (Dummy)", "", "")
local session = create_session (arg[1], arg[2], tonumber (arg[3]))
local tracks = session:new_audio_track (tonumber (arg[5]), 2, nil, 1, arg[4],
	ARDOUR.PresentationInfo.max_order, ARDOUR.TrackMode.Normal, true)
-- Ardour connects new tracks in the background, which a script that ends at once can forestall.
for track in tracks:iter () do
	for port = 0, 1 do
		track:output ():audio (port):connect (session:master_out ():input ():audio (port):name ())
	end
end
session:save_state ("")
close_session ()
